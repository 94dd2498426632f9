#include "common/daemon/doctor.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "common/messages/queues.hpp"
#include "common/quantumflow/database_checks.hpp"
#include "singularity_agent/cli/commands.hpp"
#include "singularity_agent/execution/git_checks.hpp"
#include "singularity_agent/settings.hpp"
#include "singularity_agent/tools.hpp"

namespace fleet::agent::cli {
namespace {

using base::finding;
namespace fs = std::filesystem;

/// The longest path of a Unix socket, without the closing zero.
constexpr std::size_t longest_socket_path = 107;

finding examine_socket(const std::string& path) {
  const auto directory = fs::path(path).parent_path();
  if (path.size() > longest_socket_path)
    return base::failed("socket", fmt::format("{} has more than {} bytes", path, longest_socket_path),
                        "choose a shorter api.socket");
  std::error_code ec;
  if (!fs::is_directory(directory, ec))
    return base::failed("socket", directory.string() + " does not exist",
                        "make it; under systemd RuntimeDirectory= does when the service starts");
  if (::access(directory.c_str(), W_OK) != 0)
    return base::failed("socket", directory.string() + " cannot be written by this user",
                        "let the agent's user own it");
  return base::passed("socket", path);
}

std::size_t damaged_files(const fs::path& spool) {
  std::size_t count = 0;
  std::error_code ec;
  const auto prefix = spool.filename().string() + ".damaged-";
  for (fs::directory_iterator entry(spool.parent_path(), ec), end; !ec && entry != end; entry.increment(ec))
    if (entry->path().filename().string().starts_with(prefix)) ++count;
  return count;
}

finding examine_spool(const agent_settings& settings) {
  const fs::path path = spool_path_of(settings);
  if (path.empty())
    return base::warned("spool", "there is none: nothing is accepted while the database is away", "set spool.path");
  const auto directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code ec;
  if (!fs::is_directory(directory, ec))
    return base::failed("spool", directory.string() + " does not exist",
                        "make it; under systemd StateDirectory= does when the service starts");
  const bool file_is_good = !fs::exists(path, ec) || ::access(path.c_str(), R_OK | W_OK) == 0;
  if (::access(directory.c_str(), W_OK) != 0 || !file_is_good)
    return base::failed("spool", path.string() + " cannot be written by this user", "let the agent's user own it");
  const auto space = fs::space(directory, ec);
  const auto free = ec ? 0 : space.available;
  constexpr std::uint64_t mib = 1024 * 1024;
  const auto text =
      fmt::format("{}, {} MiB free, at most {} MiB needed", path.string(), free / mib, settings.spool.max_bytes / mib);
  // SQLite's write-ahead log stands beside the file until it is taken over.
  if (free < settings.spool.max_bytes / 16)
    return base::failed("spool", text, "make room: what comes in while the database is away would be refused");
  if (free < settings.spool.max_bytes * 2) return base::warned("spool", text, "make room, or lower spool.max_mb");
  if (const auto damaged = damaged_files(path); damaged > 0)
    return base::warned("spool", fmt::format("{}; {} damaged files were set aside beside it", text, damaged),
                        "what could be read was taken over: keep them for a look, then remove them");
  return base::passed("spool", text);
}

/// Asks every source once, as the agent does at intervals.
boost::asio::awaitable<std::vector<finding>> examine_metrics(agent_settings settings) {
  std::vector<finding> found;
  const auto sources = make_sampler(settings);
  if (!sources) {
    found.push_back(base::failed("metrics", sources.error().message, "correct it"));
    co_return found;
  }
  const auto sample = co_await (*sources)->sample();
  for (const auto& each : (*sources)->parts()) {
    if (each.last_error.empty()) continue;
    found.push_back(base::warned("metrics", fmt::format("metrics.{}: {}", each.name, each.last_error),
                                 "mend it: a change whose metrics are missing cannot be watched"));
  }
  if (!found.empty()) co_return found;
  std::string names;
  for (const auto& [name, value] : *sample) names += (names.empty() ? "" : ", ") + name;
  const auto text = names.empty() ? "none are sampled here: the instance hands them in" : names;
  found.push_back(base::passed("metrics", text));
  co_return found;
}

std::size_t connections_of(const config::values& all, const agent_settings& settings) {
  // The pool, the rollback lane's two, and the one that listens.
  std::size_t most = settings.core.pool_size + 3;
  for (const auto& queue : messages::all_queues())
    if (queue.read_by == messages::queue_reader::agent)
      most += config::queue_from(all, std::string(queue.name)).workers;
  return most;
}

boost::asio::awaitable<std::vector<finding>> examine(config::values all) {
  const auto settings = settings_from(all).value();
  std::vector<finding> found;
  if (!settings.api.socket.empty()) found.push_back(examine_socket(settings.api.socket));
  found.push_back(examine_spool(settings));
  if (settings.executor.mode == executor_mode::git) {
    execution::repository_checks what{settings.executor.repository, settings.executor.branch};
    auto more = co_await execution::examine_repository(std::move(what));
    found.insert(found.end(), more.begin(), more.end());
  }
  const auto metrics = co_await examine_metrics(settings);
  found.insert(found.end(), metrics.begin(), metrics.end());
  quantumflow::database_checks database;
  database.database = database_of(settings);
  database.listen = listen_of(settings);
  database.instance = settings.instance.str();
  database.connections = connections_of(all, settings);
  auto more = co_await quantumflow::examine_database(std::move(database));
  found.insert(found.end(), more.begin(), more.end());
  co_return found;
}

}  // namespace

void add_doctor(daemon::command_table& to, const daemon::service& what) {
  daemon::examination more;
  more.address_of = [](const config::values& all) {
    const auto& socket = all.get_string("api.socket");
    return socket.empty() ? all.get_string("api.listen") : "unix:" + socket;
  };
  more.listen_setting = "api.listen";
  more.examine = [](const config::values& all) { return examine(all); };
  daemon::add_doctor_command(to, what, std::move(more));
}

}  // namespace fleet::agent::cli
