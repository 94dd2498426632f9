#include "tests/support/commands.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json/parse.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace fleet::test {
namespace {

/// A file of its own, gone with the object.
class scratch_file {
 public:
  scratch_file() {
    path = (std::filesystem::temp_directory_path() / "fleet-command-XXXXXX").string();
    const int opened = ::mkstemp(path.data());
    if (opened < 0) throw std::runtime_error("mkstemp failed");
    ::close(opened);
  }
  ~scratch_file() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  scratch_file(const scratch_file&) = delete;
  scratch_file& operator=(const scratch_file&) = delete;

  std::string text() const {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }

  std::string path;
};

}  // namespace

boost::json::value command_result::json() const {
  boost::json::error_code ec;
  auto value = boost::json::parse(out, ec);
  if (ec) throw std::runtime_error("no JSON: " + all());
  return value;
}

std::string command_result::all() const {
  return "exit " + std::to_string(code) + "\n" + out + err;
}

command_result run_command(const std::string& command) {
  const scratch_file errors;
  FILE* pipe = ::popen(("{ " + command + "\n} 2> '" + errors.path + "'").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen failed");
  command_result result;
  std::array<char, 4096> buffer{};
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe)) result.out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.err = errors.text();
  return result;
}

command_result run_agent_command(const agent_process& agent, const std::string& what, const std::string& input) {
  const scratch_file given;
  std::ofstream(given.path, std::ios::binary) << input;
  return run_command("timeout 60 '" + daemon_binary("singularity_agent") + "' " + what + " --config '" +
                     agent.directory + "/agent.ini' < '" + given.path + "'");
}

command_result run_coordinator_command(const daemon_fleet& fleet, const std::string& what) {
  return run_command("timeout 60 '" + daemon_binary("centralcloud_daemon") + "' " + what + " --config '" +
                     fleet.directory + "/coordinator-0/coordinator.ini'");
}

}  // namespace fleet::test
