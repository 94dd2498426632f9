#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "common/quantumflow/crash_guard.hpp"
#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;
using boost::asio::awaitable;
using quantumflow::message;
using quantumflow::outcome;

namespace {

constexpr const char* queue = "proposals_for_consensus_queue";
constexpr const char* group = "centralcloud";

/// A consumer's process: handles what is there and ends in good order when nothing is left, or dies in the handler of a
/// message that says so.
void run_consumer(const std::string& url) {
  boost::asio::io_context io;
  postgres::settings settings;
  settings.url = url;
  postgres::pool pool(io.get_executor(), settings, 8);
  quantumflow::waker waker(io.get_executor(), settings);
  async::stop_source stop(io.get_executor());
  quantumflow::crash_guard guard(pool, group, "here");
  run(io, guard.begin());
  const auto handler = [](postgres::transaction& transaction,
                          std::span<const message> batch) -> awaitable<std::vector<outcome>> {
    std::vector<outcome> outcomes;
    for (const auto& each : batch) {
      if (each.body.find("poison") != std::string::npos) std::_Exit(70);
      auto arguments = postgres::make_params(base::to_int(each.id));
      co_await transaction.query("insert into handled values ($1)", std::move(arguments));
      outcomes.push_back(outcome::done());
    }
    co_return outcomes;
  };
  quantumflow::consumer_options options;
  options.queue = queue;
  options.group = group;
  options.crashes = &guard;
  quantumflow::consumer one(pool, waker, options, handler);
  quantumflow::consumer other(pool, waker, options, handler);
  int running = 2;
  for (auto* each : {&one, &other})
    boost::asio::co_spawn(io, each->run(stop.token()), [&](std::exception_ptr) { --running; });
  // In good order: when nothing is pending any more.
  const auto nothing_left = [&] {
    const auto sql = "select pending + retrying as n from quantumflow.get_queue_stats('" + std::string(queue) + "')";
    return run(io, [&]() -> awaitable<std::int64_t> {
             auto connection = co_await pool.acquire();
             const auto answer = co_await connection->query(sql);
             co_return answer.single().get<std::int64_t>("n");
           }()) == 0;
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(15);
  while (!nothing_left() && std::chrono::steady_clock::now() < until)
    run_until(
        io, [] { return false; }, std::chrono::milliseconds(20));
  stop.request_soft();
  run_until(io, [&] { return running == 0; });
  run(io, guard.end());
}

int run_child(const std::string& url) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto command = "FLEET_CRASH_URL='" + url + "' timeout 30 '" + self + "' '[crash_child]' > /dev/null 2>&1";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("crash child", "[.][crash_child]") {
  const char* url = std::getenv("FLEET_CRASH_URL");
  if (url != nullptr) run_consumer(url);
}

TEST_CASE("consumer: a message in hand each time the process crashed becomes a dead letter, and only that one") {
  queue_fixture fleet("queue_crash");
  fleet.psql("create table handled (id bigint)");
  for (int n = 0; n < 40; ++n) {
    boost::json::object payload;
    payload["proposal_id"] = "p" + std::to_string(n % 10);
    payload["n"] = n == 13 ? "poison" : "good";
    fleet.publish(queue, std::move(payload));
  }
  // Once in a batch, where nobody knows which one it was; then three times alone.
  int crashes = 0;
  int last = run_child(fleet.url);
  while (last == 70 && crashes < 10) {
    ++crashes;
    last = run_child(fleet.url);
  }
  INFO("notes: " << fleet.psql("select * from quantumflow.crash_note"));
  INFO("dead letters: " << fleet.psql("select reason, error, payload from quantumflow.list_dlq_messages()"));
  CHECK(last == 0);
  CHECK(crashes == 4);
  CHECK(fleet.psql("select count(*), count(distinct id) from handled") == "39|39");
  CHECK(fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "1");
  CHECK(fleet.psql("select reason, payload ->> 'n' from quantumflow.list_dlq_messages()") == "crashed_consumer|poison");
  CHECK(fleet.psql("select count(*) from quantumflow.crash_note") == "0");
  CHECK(fleet.psql("select count(*) from quantumflow.consumer_process") == "0");
}

TEST_CASE("crash guard: the turn goes round, so that many messages of one queue do not keep another's waiting") {
  queue_fixture fleet("queue_crash_turns");
  quantumflow::crash_guard guard(fleet.pool, group, "here");
  std::string order;
  const auto handle = [&](char name, int messages) -> awaitable<void> {
    for (int n = 0; n < messages; ++n) {
      const auto turn = co_await guard.next_turn(fleet.stop.token());
      order += name;
      co_await boost::asio::post(boost::asio::use_awaitable);  // the others come to wait
    }
  };
  int running = 3;
  const auto ended = [&](std::exception_ptr) { --running; };
  boost::asio::co_spawn(fleet.io, handle('a', 20), ended);
  boost::asio::co_spawn(fleet.io, handle('b', 3), ended);
  boost::asio::co_spawn(fleet.io, handle('c', 1), ended);
  REQUIRE(run_until(fleet.io, [&] { return running == 0; }));
  CHECK_THAT(order, Catch::StartsWith("abcababa"));
  CHECK(order.size() == 24);
  CHECK(run(fleet.io, guard.next_turn(fleet.stop.token())).held());
}

TEST_CASE("crash guard: who gives up waiting is not waited for, and a stop ends the wait") {
  queue_fixture fleet("queue_crash_given_up");
  quantumflow::crash_guard guard(fleet.pool, group, "here");
  std::optional<quantumflow::crash_guard::turn> first(run(fleet.io, guard.next_turn(fleet.stop.token())));
  boost::asio::cancellation_signal cancel;
  std::string ends;
  const auto wait = [&](std::string name) -> awaitable<void> {
    const auto turn = co_await guard.next_turn(fleet.stop.token());
    ends += name + (turn.held() ? "+" : "-");
    co_await fleet.stop.token().sleep_for(std::chrono::hours(1));
  };
  const auto given_up = [&](std::exception_ptr why) { ends += why ? "given up " : ""; };
  boost::asio::co_spawn(fleet.io, wait("one"), boost::asio::bind_cancellation_slot(cancel.slot(), given_up));
  boost::asio::co_spawn(fleet.io, wait("two"), boost::asio::detached);
  boost::asio::co_spawn(fleet.io, wait("three"), boost::asio::detached);
  fleet.io.poll();
  cancel.emit(boost::asio::cancellation_type::terminal);
  CHECK(run_until(fleet.io, [&] { return ends == "given up "; }));
  first.reset();
  CHECK(run_until(fleet.io, [&] { return ends == "given up two+"; }));
  // Its turn ends at the stop, too, so that three may still get it.
  fleet.stop.request_soft();
  CHECK(run_until(fleet.io, [&] { return ends == "given up two+three-" || ends == "given up two+three+"; }));
}

TEST_CASE("crash guard: a consumer that waits for its turn says that it lives") {
  queue_fixture fleet("queue_crash_lives");
  quantumflow::crash_guard last(fleet.pool, group, "here");
  run(fleet.io, last.begin());
  quantumflow::crash_guard guard(fleet.pool, group, "here");
  REQUIRE(run(fleet.io, guard.begin()));
  const auto held = run(fleet.io, guard.next_turn(fleet.stop.token()));
  int turns = 0;
  quantumflow::consumer_options options;
  options.queue = queue;
  options.group = group;
  options.crashes = &guard;
  options.turned = [&] { ++turns; };
  quantumflow::consumer waiting(
      fleet.pool, fleet.waker, options,
      [](postgres::transaction&, std::span<const message>) -> awaitable<std::vector<outcome>> {
        co_return std::vector<outcome>();
      });
  const auto working = fleet.consume_here(waiting);
  CHECK(run_until(fleet.io, [&] { return turns >= 4; }));
}

TEST_CASE("crash guard: suspicious after an end that was not in good order, and not otherwise") {
  queue_fixture fleet("queue_crash_guard");
  quantumflow::crash_guard first(fleet.pool, group, "here");
  CHECK_FALSE(run(fleet.io, first.begin()));
  quantumflow::crash_guard elsewhere(fleet.pool, group, "there");
  CHECK_FALSE(run(fleet.io, elsewhere.begin()));
  quantumflow::crash_guard second(fleet.pool, group, "here");
  CHECK(run(fleet.io, second.begin()));
  run(fleet.io, second.end());
  quantumflow::crash_guard third(fleet.pool, group, "here");
  CHECK_FALSE(run(fleet.io, third.begin()));
  // A run that only lost its connection notes its message again without counting up.
  fleet.psql("select quantumflow.publish('proposals_for_consensus_queue', '{\"proposal_id\": \"p\"}')");
  const auto note = [&](const std::string& run_id) {
    return fleet.psql("select quantumflow.note_in_hand(1, 1, " + run_id + ")");
  };
  CHECK(note("7") == "1");
  CHECK(note("7") == "1");
  CHECK(note("8") == "2");
}
