#include "common/daemon/doctor.hpp"

#include <utility>

#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/settings.hpp"
#include "common/messages/queues.hpp"
#include "common/quantumflow/database_checks.hpp"

namespace fleet::central::cli {
namespace {

std::size_t connections_of(const config::values& all, const settings& with) {
  std::size_t most = with.core.pool_size + 1;  // the one that listens
  for (const auto& queue : messages::all_queues())
    if (queue.read_by == messages::queue_reader::coordinator)
      most += config::queue_from(all, std::string(queue.name)).workers;
  return most;
}

boost::asio::awaitable<std::vector<base::finding>> examine(config::values all) {
  const auto with = settings_from(all).value();
  quantumflow::database_checks what;
  what.database = database_settings(with.core);
  what.listen = listen_settings(with.core);
  what.connections = connections_of(all, with);
  auto found = co_await quantumflow::examine_database(std::move(what));
  co_return found;
}

}  // namespace

void add_doctor(daemon::command_table& to, const daemon::service& what) {
  daemon::examination more;
  more.address_of = [](const config::values& all) { return all.get_string("http.listen"); };
  more.listen_setting = "http.listen";
  more.examine = [](const config::values& all) { return examine(all); };
  daemon::add_doctor_command(to, what, std::move(more));
}

}  // namespace fleet::central::cli
