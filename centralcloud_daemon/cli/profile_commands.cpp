#include <boost/json/object.hpp>
#include <ostream>

#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "centralcloud_daemon/guardian/guardian_repository.hpp"
#include "centralcloud_daemon/overview_repository.hpp"
#include "centralcloud_daemon/producers.hpp"
#include "common/base/text.hpp"
#include "common/daemon/input.hpp"
#include "common/messages/safety_profile_update.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::column;
using daemon::invocation;

constexpr std::string_view source = "operator";

int profiles(const invocation& call) {
  const auto length = list_length::of(call);
  if (!length) return daemon::exit_usage;
  return with_database(call, [&](postgres::connection& connection, const settings&) -> awaitable<int> {
    const auto list = co_await list_safety_profiles(connection, length->asked());
    const std::vector<column> columns = {{"agent_type", "agent type"},
                                         {"source", "source"},
                                         {"updated_at", "updated at"},
                                         {"profile", "safety profile"}};
    print_list(call, columns, list, "no safety profile is held", *length);
    co_return daemon::exit_done;
  });
}

/// The message that every instance is sent, read as they will read it: what they would refuse is refused here.
base::result<messages::safety_profile_update> update_of(const std::string& agent_type, const std::string& file) {
  const auto profile = daemon::read_json_input(file);
  if (!profile) return profile.error();
  boost::json::object message;
  message["type"] = messages::safety_profile_update::type_name;
  message["instance_id"] = messages::broadcast_instance;
  message["agent_type"] = agent_type;
  message["safety_profile"] = *profile;
  message["source"] = source;
  message["timestamp"] = base::format_rfc3339(base::system_clock().now());
  auto update = messages::safety_profile_update::decode(message);
  if (!update) return update;
  // Readers of messages pass over what they do not know. A person who mistypes a bound must not believe that it holds.
  const auto known = update->profile.encode();
  for (const auto& [name, value] : *profile) {
    if (!known.contains(name))
      return base::make_error(base::error_kind::invalid_input,
                              "safety_profile." + base::printable(name) + ": is no bound of a safety profile");
  }
  return update;
}

int set_profile(const invocation& call) {
  auto update = update_of(call.positionals[0], call.positionals[1]);
  if (!update) {
    refuse(call, update.error().message);
    return daemon::exit_usage;
  }
  return with_database(call, [&](postgres::connection& connection, const settings&) -> awaitable<int> {
    telemetry::metrics metrics;
    telemetry::event_counter events(metrics, telemetry::logger::none(), telemetry::daemon_prefix::centralcloud);
    producers out(events, base::system_clock());
    const auto work = [&](postgres::transaction& open) -> awaitable<base::result<void>> {
      guardian::profile_bounds whole;
      whole.agent_type = update->agent_type;
      whole.bounds = update->profile;
      whole.source = source;
      co_await guardian::set_safety_profile(open, std::move(whole), "operator (command line)");
      auto message = *update;
      auto sent = co_await out.send_safety_profile_update(open, std::move(message));
      if (!sent) co_return sent.error();
      co_return base::result<void>();
    };
    const auto done = co_await postgres::in_transaction(connection, work);
    if (!done) co_return refuse(call, done.error().message);
    *call.out << "the safety profile of " << base::printable(update->agent_type)
              << " is set, and every instance is told\n";
    co_return daemon::exit_done;
  });
}

}  // namespace

void add_profile_commands(daemon::command_table& to) {
  daemon::subcommand one;
  one.name = "profiles";
  one.sentence = "Lists the safety profiles that are held, by agent type.";
  one.prints_data = true;
  one.options = {list_length::option()};
  one.handler = profiles;
  to.add(one);

  one = {};
  one.name = "profiles set";
  one.sentence =
      "Sets the safety profile of an agent type, as a whole, from a JSON object, and tells every instance; '-' reads "
      "standard input.";
  one.operands = "AGENT_TYPE FILE|-";
  one.min_operands = one.max_operands = 2;
  one.handler = set_profile;
  to.add(one);
}

}  // namespace fleet::central::cli
