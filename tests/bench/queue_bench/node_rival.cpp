// A queue for Node: its own program publishes and handles, in its own process, and answers with figures; see ../rivals.
#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

#include "tests/bench/queue_bench/subject.hpp"

namespace fleet::bench {

namespace {

namespace json = boost::json;

/// Runs a program to its end and gives the last line it printed; throws with all of it when it fails.
std::string last_line_of(const std::string& command) {
  FILE* from = ::popen((command + " 2>&1").c_str(), "re");
  if (from == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  std::array<char, 65536> chunk{};
  while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), from)) output.append(chunk.data(), size);
  if (::pclose(from) != 0) throw std::runtime_error(command + ": " + output);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  const auto line = output.rfind('\n');
  return line == std::string::npos ? output : output.substr(line + 1);
}

std::vector<double> numbers(const json::value& list) {
  std::vector<double> made;
  for (const auto& each : list.as_array()) made.push_back(each.to_number<double>());
  return made;
}

tally tally_of(const json::value& answer) {
  return {answer.at("messages").to_number<double>(), answer.at("seconds").to_number<double>()};
}

class node_rival final : public subject {
 public:
  node_rival(test::private_postgres& server, node_program program)
      : subject(program.name, server), program_(std::move(program)) {}

  bool slow() const override { return true; }
  std::optional<tally> publish(const publish_load& load) override {
    return tally_of(run(
        {{"do", "publish"}, {"batch", load.batch}, {"connections", load.connections}, {"ms", load.duration.count()}}));
  }
  std::optional<tally> drain(long backlog, int workers) override {
    if (workers != 1) return std::nullopt;  // its own setting says how many handlers it runs
    return tally_of(run({{"do", "drain"}, {"backlog", backlog}}));
  }
  std::optional<flow_result> flow(const flow_load& load) override {
    const auto answer = run({{"do", "flow"},
                             {"batch", load.batch},
                             {"producers", load.producers},
                             {"per_second", load.per_second},
                             {"ms", load.duration.count()}});
    return flow_result{tally_of(answer.at("published")), tally_of(answer.at("consumed")),
                       numbers(answer.at("latencies_ms")), numbers(answer.at("each_second"))};
  }
  std::optional<tally> fan_out(int instances, milliseconds duration) override {
    return tally_of(run({{"do", "fan_out"}, {"instances", instances}, {"connections", 8}, {"ms", duration.count()}}));
  }

 private:
  void make_schema() override {
    const auto file = program_.folder + "/" + program_.file;
    if (program_.folder.empty() || !std::filesystem::exists(file) ||
        !std::filesystem::exists(program_.folder + "/node_modules"))
      throw std::runtime_error("its npm packages are not installed (queue_bench.sh does that)");
    run({{"do", "prepare"}});
  }

  json::value run(const json::object& what) {
    // `what` holds numbers and names of this file's own; the limit is for a program that hangs.
    return json::parse(last_line_of(fmt::format("timeout -k 5 180 node '{}/{}' '{}' '{}'", program_.folder,
                                                program_.file, url(), json::serialize(what))));
  }

  node_program program_;
};

}  // namespace

std::unique_ptr<subject> make_node_rival(test::private_postgres& server, node_program program) {
  return std::make_unique<node_rival>(server, std::move(program));
}

}  // namespace fleet::bench
