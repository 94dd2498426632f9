#include <boost/json/object.hpp>
#include <charconv>
#include <optional>
#include <ostream>

#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "centralcloud_daemon/overview_repository.hpp"
#include "common/base/json.hpp"
#include "common/quantumflow/inspect.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::column;
using daemon::invocation;

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) return std::nullopt;
  return number;
}

std::optional<std::string> first_operand(const invocation& call) {
  if (call.positionals.empty()) return std::nullopt;
  return call.positionals.front();
}

int queues(const invocation& call) {
  return with_database(call, [&call](postgres::connection& connection, const settings&) -> awaitable<int> {
    const auto list = co_await list_queues(connection);
    const std::vector<column> columns = {
        {"queue_name", "queue"},        {"pending", "pending"}, {"oldest_age_seconds", "oldest s"},
        {"retrying", "retrying"},       {"dlq", "dead"},        {"published_total", "published"},
        {"consumed_total", "consumed"}, {"readers", "readers"}};
    print_list(call, columns, list, "no queues");
    co_return daemon::exit_done;
  });
}

int pending(const invocation& call) {
  const auto length = list_length::of(call);
  if (!length) return daemon::exit_usage;
  return with_database(call, [&call, &length](postgres::connection& connection, const settings&) -> awaitable<int> {
    auto queue = call.positionals.front();
    const auto list = co_await list_pending(connection, std::move(queue), length->asked());
    const std::vector<column> columns = {{"message_id", "message"},  {"state", "state"},
                                         {"attempts", "attempts"},   {"enqueued_at", "enqueued at"},
                                         {"recipient", "recipient"}, {"consumer_group", "group"},
                                         {"payload.type", "type"},   {"payload.proposal_id", "proposal"}};
    print_list(call, columns, list, "nothing is pending", *length);
    co_return daemon::exit_done;
  });
}

int dlq_list(const invocation& call) {
  const auto length = list_length::of(call);
  if (!length) return daemon::exit_usage;
  return with_database(call, [&call, &length](postgres::connection& connection, const settings&) -> awaitable<int> {
    auto queue = first_operand(call);
    const auto list = co_await list_dead_letters(connection, std::move(queue), length->asked());
    const std::vector<column> columns = {{"id", "id"},           {"queue_name", "queue"},
                                         {"reason", "reason"},   {"attempts", "attempts"},
                                         {"dead_at", "dead at"}, {"error", "error"}};
    print_list(call, columns, list, "no dead letters", *length);
    co_return daemon::exit_done;
  });
}

int dlq_retry(const invocation& call) {
  const auto id = number_in(call.positionals.front());
  if (!id) {
    refuse(call, "ID: expected the number of a dead letter");
    return daemon::exit_usage;
  }
  return with_database(call, [&call, id = *id](postgres::connection& connection, const settings&) -> awaitable<int> {
    const auto message = co_await quantumflow::retry_dlq_message(connection, id);
    if (call.json) {
      boost::json::object answer;
      answer["message_id"] = base::to_int(message);
      *call.out << base::write_json(answer) << '\n';
    } else {
      *call.out << "message " << base::to_int(message) << " is retried\n";
    }
    co_return daemon::exit_done;
  });
}

int dlq_purge(const invocation& call) {
  return with_database(call, [&call](postgres::connection& connection, const settings&) -> awaitable<int> {
    auto queue = first_operand(call);
    const auto count = co_await quantumflow::purge_dlq(connection, std::move(queue));
    if (call.json) {
      boost::json::object answer;
      answer["purged"] = count;
      *call.out << base::write_json(answer) << '\n';
    } else {
      *call.out << count << " dead letters purged\n";
    }
    co_return daemon::exit_done;
  });
}

daemon::subcommand made(std::string name, std::string sentence, std::function<int(const invocation&)> handler) {
  daemon::subcommand one;
  one.name = std::move(name);
  one.sentence = std::move(sentence);
  one.handler = std::move(handler);
  one.prints_data = true;
  return one;
}

}  // namespace

void add_queue_commands(daemon::command_table& to) {
  to.add(made("queues", "Lists the queues with their depth and totals.", queues));

  auto one = made("pending", "Lists what waits in a queue, oldest first.", pending);
  one.operands = "QUEUE";
  one.min_operands = one.max_operands = 1;
  one.options = {list_length::option()};
  to.add(one);

  one = made("dlq list", "Lists dead letters, newest first.", dlq_list);
  one.operands = "[QUEUE]";
  one.max_operands = 1;
  one.options = {list_length::option()};
  to.add(one);

  one = made("dlq retry", "Gives a dead letter a new set of attempts.", dlq_retry);
  one.operands = "ID";
  one.min_operands = one.max_operands = 1;
  to.add(one);

  one = made("dlq purge", "Deletes dead letters, of one queue or of all.", dlq_purge);
  one.operands = "[QUEUE]";
  one.max_operands = 1;
  to.add(one);
}

}  // namespace fleet::central::cli
