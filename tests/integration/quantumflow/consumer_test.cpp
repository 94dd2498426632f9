#include "common/quantumflow/consumer.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <sstream>

#include "common/postgres/error.hpp"
#include "common/postgres/listener.hpp"
#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;
using boost::asio::awaitable;
using quantumflow::message;
using quantumflow::outcome;

namespace {

const std::string queue = "proposals_for_consensus_queue";
const std::string group = "centralcloud";

struct numbered {
  std::string proposal_id;
  std::int64_t n = 0;

  static base::result<numbered> decode(const boost::json::object& from) {
    const auto* id = from.if_contains("proposal_id");
    const auto* n = from.if_contains("n");
    if (id == nullptr || !id->is_string()) return base::invalid_fields({{"proposal_id", "expected a string"}});
    if (n == nullptr || !n->is_int64()) return base::invalid_fields({{"n", "expected an integer"}});
    return numbered{std::string(id->as_string()), n->as_int64()};
  }
};

boost::json::object payload(const std::string& proposal, int n) {
  boost::json::object made;
  made["proposal_id"] = proposal;
  made["n"] = n;
  return made;
}

quantumflow::consumer_options options(int batch_size = 100) {
  quantumflow::consumer_options made;
  made.queue = queue;
  made.group = group;
  made.batch_size = batch_size;
  made.retry_delay = std::chrono::milliseconds(1);
  return made;
}

/// Keeps what each message says in a table, in the consumer's transaction.
awaitable<outcome> record(postgres::transaction& transaction, std::string proposal, std::int64_t n) {
  auto arguments = postgres::make_params(proposal, n);
  co_await transaction.query("insert into handled (proposal_id, n) values ($1, $2)", std::move(arguments));
  co_return outcome::done();
}

awaitable<outcome> record_numbered(postgres::transaction& transaction, const numbered& what, const message&) {
  return record(transaction, what.proposal_id, what.n);
}

/// Whether the group's worker lies down: its flag is raised.
bool asleep(const queue_fixture& fleet) {
  return fleet.psql(
             "select count(*) from pg_locks l join pg_database d on d.oid = l.database and d.datname = "
             "current_database() where locktype = 'advisory' and classid = 1902672 and mode = 'ExclusiveLock'") == "1";
}

const std::string handled_table = "create table handled (place bigserial, proposal_id text, n bigint)";

}  // namespace

TEST_CASE("consumer: a message is pending after publish and gone once it is handled") {
  queue_fixture fleet("consumer_basic");
  fleet.psql(handled_table);
  const auto id = fleet.publish(queue, payload("p", 1));
  CHECK(fleet.psql("select message_id, payload ->> 'proposal_id' from quantumflow.list_pending_messages('" + queue +
                   "')") == fmt::format("{}|p", base::to_int(id)));

  int acknowledged = 0;
  quantumflow::consumer worker(fleet.pool, fleet.waker, options(), quantumflow::handle_each<numbered>(record_numbered),
                               [&](const message&, const outcome&) { ++acknowledged; });
  const auto working = fleet.consume_here(worker);
  REQUIRE(run_until(fleet.io, [&] { return acknowledged == 1; }));
  CHECK(fleet.psql("select count(*) from quantumflow.list_pending_messages('" + queue + "')") == "0");
  CHECK(fleet.psql("select proposal_id, n from handled") == "p|1");
}

TEST_CASE("consumer: a server that takes no writes any more ends the worker, and costs no message an attempt") {
  queue_fixture fleet("consumer_read_only");
  fleet.psql(handled_table);
  for (int n = 1; n <= 3; ++n) fleet.publish(queue, payload("p", n));
  int refusals = 2;
  const auto handler = [&](postgres::transaction& transaction, const numbered& what,
                           const message& taken) -> awaitable<outcome> {
    if (refusals > 0) {
      --refusals;
      co_await transaction.query("set transaction read only");
    }
    co_return co_await record_numbered(transaction, what, taken);
  };
  std::vector<int> attempts;
  quantumflow::consumer worker(fleet.pool, fleet.waker, options(), quantumflow::handle_each<numbered>(handler),
                               [&](const message& taken, const outcome&) { attempts.push_back(taken.attempts); });
  const auto working = fleet.consume_here(worker);
  REQUIRE(run_until(fleet.io, [&] { return attempts.size() == 3; }));
  CHECK(attempts == std::vector<int>{0, 0, 0});
  CHECK(refusals == 0);
  CHECK(fleet.psql("select string_agg(n::text, ',' order by place) from handled") == "1,2,3");
  // Each refusal cost the connection, and nothing else.
  CHECK(fleet.pool.stats().dropped_total == 2);
}

TEST_CASE("consumer: a sleeping worker is woken by a publish, well before its poll") {
  queue_fixture fleet("consumer_waking");
  fleet.psql(handled_table);
  int acknowledged = 0;
  auto slow_poll = options();
  slow_poll.poll_interval = std::chrono::seconds(60);
  quantumflow::consumer worker(fleet.pool, fleet.waker, slow_poll, quantumflow::handle_each<numbered>(record_numbered),
                               [&](const message&, const outcome&) { ++acknowledged; });
  const auto working = fleet.consume_here(worker);
  for (int i = 1; i <= 5; ++i) {
    REQUIRE(run_until(fleet.io, [&] { return asleep(fleet); }));
    fleet.publish(queue, payload("p", i));
    REQUIRE(run_until(
        fleet.io, [&] { return acknowledged == i; }, std::chrono::seconds(10)));
  }
}

TEST_CASE(
    "consumer: where many listen, a worker that had something looks by itself for a while before it is notified "
    "again") {
  queue_fixture fleet("consumer_stays_up");
  std::int64_t listeners = 1;
  int handled = 0;
  const auto count = [&](postgres::transaction&, const numbered&, const message&) -> awaitable<outcome> {
    ++handled;
    co_return outcome::done();
  };
  auto how = options();
  how.listeners = [&] { return listeners; };
  int turns = 0;
  how.turned = [&] { ++turns; };
  quantumflow::consumer worker(fleet.pool, fleet.waker, how, quantumflow::handle_each<numbered>(count));
  const auto working = fleet.consume_here(worker);
  int notified = 0;
  std::istringstream lines(fleet.psql("select quantumflow.wake_channels('" + queue + "', '" + group + "')"));
  std::vector<std::string> channels;
  for (std::string line; std::getline(lines, line);) channels.push_back(line);
  postgres::listener counter(
      fleet.io.get_executor(), fleet.settings(), channels, [&](const std::string&, const std::string&) { ++notified; },
      [](bool) {});
  boost::asio::co_spawn(fleet.io, counter.run(fleet.stop.token()), boost::asio::detached);
  REQUIRE(run_until(fleet.io, [&] { return counter.up(); }));
  const auto send = [&](int n) {
    const int before = handled;
    fleet.publish(queue, payload("p", n));
    REQUIRE(run_until(fleet.io, [&] { return handled == before + 1; }));
  };
  for (int n = 0; n < 10; ++n) {
    REQUIRE(run_until(fleet.io, [&] { return asleep(fleet); }));
    send(n);
  }
  // Not each: the flag that is seen may be the one that the worker, awake already, is about to lower.
  REQUIRE(run_until(fleet.io, [&] { return notified > 5; }));
  listeners = 1000;
  REQUIRE(run_until(fleet.io, [&] { return asleep(fleet); }));
  notified = 0;
  for (int n = 0; n < 10; ++n) {
    send(n);
    // One that does not stay up lies down after a take that finds nothing, and turns no more.
    const int then = turns;
    const bool up = run_until(
        fleet.io, [&] { return turns >= then + 3; }, std::chrono::milliseconds(50));
    if (!up) REQUIRE(run_until(fleet.io, [&] { return asleep(fleet); }));
  }
  REQUIRE(run_until(fleet.io, [&] { return asleep(fleet); }));  // it lies down all the same, later
  CHECK(notified < 5);
}

TEST_CASE("consumer: a worker does not ask again and again for what another one has in hand") {
  queue_fixture fleet("consumer_in_hand");
  bool in_hand = false;
  const auto slowly = [&](postgres::transaction&, const numbered&, const message&) -> awaitable<outcome> {
    in_hand = true;
    boost::asio::steady_timer handling(fleet.io, std::chrono::seconds(1));
    co_await handling.async_wait(boost::asio::use_awaitable);
    in_hand = false;
    co_return outcome::done();
  };
  int turns = 0;
  auto counted = options();
  counted.turned = [&] { turns += in_hand ? 1 : 0; };
  quantumflow::consumer one(fleet.pool, fleet.waker, counted, quantumflow::handle_each<numbered>(slowly));
  quantumflow::consumer other(fleet.pool, fleet.waker, counted, quantumflow::handle_each<numbered>(slowly));
  REQUIRE(run_until(fleet.io, [&] { return fleet.waker.listening(); }));
  // There before both begin: of two that sleep one is woken.
  fleet.publish(queue, payload("p", 1));
  fleet.consume(one);
  const auto working = fleet.consume_here(other);
  REQUIRE(run_until(fleet.io, [&] { return in_hand; }));
  REQUIRE(run_until(fleet.io, [&] { return !in_hand; }));
  CHECK(turns > 10);
  CHECK(turns < 100);
}

TEST_CASE("consumer: where nobody is told, the poller wakes who sleeps, and workers do not look by themselves") {
  queue_fixture fleet("consumer_polled");
  fleet.psql(handled_table);
  int acknowledged = 0;
  auto often = options();
  often.poll_interval = std::chrono::milliseconds(100);
  quantumflow::waker deaf(fleet.io.get_executor(), fleet.settings());  // never run: it does not listen
  quantumflow::consumer worker(fleet.pool, deaf, often, quantumflow::handle_each<numbered>(record_numbered),
                               [&](const message&, const outcome&) { ++acknowledged; });
  const auto working = fleet.consume_here(worker);
  fleet.poll(deaf);
  const auto looks_within = [&](std::chrono::milliseconds duration) {
    const auto before = fleet.pool.stats().acquired_total;
    run(fleet.io, fleet.stop.token().sleep_for(duration));
    return fleet.pool.stats().acquired_total - before;
  };
  REQUIRE(run_until(fleet.io, [&] { return fleet.pool.stats().acquired_total >= 2; }));
  // Fifteen looks of its own would fit in; at most one is the poller's. Until its first, which may take a while, the
  // worker looks.
  bool quiet = false;
  for (int look = 0; look < 5 && !quiet; ++look) quiet = looks_within(std::chrono::milliseconds(1'500)) <= 3;
  CHECK(quiet);
  fleet.publish(queue, payload("p", 1));
  CHECK(run_until(
      fleet.io, [&] { return acknowledged == 1; }, std::chrono::seconds(4)));
}

TEST_CASE("consumer: a malformed message is rejected with the field, its neighbours are handled") {
  queue_fixture fleet("consumer_malformed");
  fleet.psql(handled_table);
  fleet.publish(queue, payload("p", 1));
  boost::json::object wrong;
  wrong["proposal_id"] = "p";
  wrong["n"] = "two";
  fleet.publish(queue, wrong);
  fleet.publish(queue, payload("p", 3));

  int acknowledged = 0;
  quantumflow::consumer worker(fleet.pool, fleet.waker, options(), quantumflow::handle_each<numbered>(record_numbered),
                               [&](const message&, const outcome&) { ++acknowledged; });
  const auto working = fleet.consume_here(worker);
  REQUIRE(run_until(fleet.io, [&] { return acknowledged == 3; }));
  CHECK(fleet.psql("select string_agg(n::text, ',' order by place) from handled") == "1,3");
  CHECK(fleet.psql("select reason, error from quantumflow.list_dlq_messages()") == "rejected|n: expected an integer");
}

TEST_CASE("consumer: a message that fails keeps its order, counts its attempts and leaves no trace of them") {
  queue_fixture fleet("consumer_failing");
  fleet.psql(handled_table);
  for (int i = 1; i <= 5; ++i) fleet.publish(queue, payload("p", i));

  int failures = 0;
  const auto fail_third = [&](postgres::transaction& transaction, const numbered& what,
                              const message& from) -> awaitable<outcome> {
    auto done = co_await record(transaction, what.proposal_id, what.n);
    if (what.n == 3 && from.attempts < 2) co_return outcome::failed("not yet");
    co_return done;
  };
  int acknowledged = 0;
  quantumflow::consumer worker(fleet.pool, fleet.waker, options(), quantumflow::handle_each<numbered>(fail_third),
                               [&](const message&, const outcome& what) {
                                 (what.what == outcome::kind::failed ? failures : acknowledged) += 1;
                               });
  const auto working = fleet.consume_here(worker);
  REQUIRE(run_until(fleet.io, [&] { return acknowledged == 5; }));
  CHECK(failures == 2);
  CHECK(fleet.psql("select string_agg(n::text, ',' order by place) from handled") == "1,2,3,4,5");
  CHECK(fleet.psql("select consumed_total, retrying, dlq from quantumflow.get_queue_stats('" + queue + "')") ==
        "5|0|0");
}

TEST_CASE("consumer: a message that throws is found in its batch, and dead-lettered alone after its last attempt") {
  queue_fixture fleet("consumer_poison");
  fleet.psql(handled_table);
  for (int i = 1; i <= 40; ++i) fleet.publish(queue, payload("p" + std::to_string(i % 7), i));

  const auto poisoned = [&](postgres::transaction& transaction, const numbered& what,
                            const message&) -> awaitable<outcome> {
    auto done = co_await record(transaction, what.proposal_id, what.n);
    if (what.n == 17) throw std::runtime_error("cannot handle seventeen");
    co_return done;
  };
  int acknowledged = 0;
  std::string fates;
  const auto note = [&](const message&, const outcome& what) {
    acknowledged += what.what == outcome::kind::done;
    if (what.what != outcome::kind::done) fates += std::string(quantumflow::fate_of(what)) + " ";
  };
  quantumflow::consumer worker(fleet.pool, fleet.waker, options(), quantumflow::handle_each<numbered>(poisoned), note);
  const auto working = fleet.consume_here(worker);
  const auto settled = [&] {
    return acknowledged == 39 && fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "1";
  };
  REQUIRE(run_until(fleet.io, settled));
  REQUIRE(run_until(fleet.io, [&] { return fates.ends_with("dead "); }));
  CHECK(fates == "retried retried retried dead ");
  CHECK(fleet.psql("select count(*), count(distinct n) from handled") == "39|39");
  CHECK(fleet.psql("select payload ->> 'n', attempts, reason, error from quantumflow.list_dlq_messages()") ==
        "17|4|retries_exhausted|cannot handle seventeen");
  CHECK(fleet.psql("select bool_and(in_order) from (select n > coalesce(lag(n) over (partition by proposal_id order by "
                   "place), 0) as in_order from handled) t") == "t");
}

TEST_CASE("consumer: a worker that dies with a batch in hand costs it no attempt") {
  queue_fixture fleet("consumer_crash");
  fleet.psql(handled_table);
  fleet.publish(queue, payload("p", 1));
  int tries = 0;
  int attempts_seen = -1;
  const auto dying = [&](postgres::transaction& transaction, const numbered& what,
                         const message& from) -> awaitable<outcome> {
    attempts_seen = from.attempts;
    auto done = co_await record(transaction, what.proposal_id, what.n);
    if (++tries == 1) fleet.psql(fmt::format("select pg_terminate_backend({})", transaction.on().backend_pid()));
    co_return done;
  };
  int acknowledged = 0;
  quantumflow::consumer worker(fleet.pool, fleet.waker, options(), quantumflow::handle_each<numbered>(dying),
                               [&](const message&, const outcome&) { ++acknowledged; });
  const auto working = fleet.consume_here(worker);
  REQUIRE(run_until(fleet.io, [&] { return acknowledged == 1; }));
  CHECK(tries == 2);
  CHECK(attempts_seen == 0);
  CHECK(fleet.psql("select count(*) from handled") == "1");
  CHECK(fleet.psql("select consumed_total, retrying, dlq from quantumflow.get_queue_stats('" + queue + "')") ==
        "1|0|0");
}

TEST_CASE("consumer: transactions that commit late or stay open lose and stall nothing") {
  queue_fixture fleet("consumer_late");
  fleet.psql(handled_table);
  int acknowledged = 0;
  quantumflow::consumer worker(fleet.pool, fleet.waker, options(), quantumflow::handle_each<numbered>(record_numbered),
                               [&](const message&, const outcome&) { ++acknowledged; });
  const auto working = fleet.consume_here(worker);

  auto early = run(fleet.io, fleet.pool.acquire());
  auto open = run(fleet.io, postgres::transaction::begin(*early));
  run(fleet.io, quantumflow::publish(open, {queue, payload("late", 1), std::nullopt}));
  for (int i = 2; i <= 30; ++i) fleet.publish(queue, payload("p" + std::to_string(i), i));
  REQUIRE(run_until(fleet.io, [&] { return acknowledged == 29; }));
  CHECK(fleet.psql("select count(*) from handled where n = 1") == "0");

  run(fleet.io, open.commit());
  REQUIRE(run_until(fleet.io, [&] { return acknowledged == 30; }));
  CHECK(fleet.psql("select count(*), count(distinct n) from handled") == "30|30");
}

TEST_CASE("publish: an unknown queue and a lost connection are errors that say so") {
  queue_fixture fleet("publish_errors");
  try {
    fleet.publish("nope", payload("p", 1));
    FAIL("no error");
  } catch (const postgres::sql_error& error) {
    CHECK_THAT(error.what(), Catch::Contains("there is no queue named \"nope\""));
  }
  auto connection = run(fleet.io, fleet.pool.acquire());
  auto open = run(fleet.io, postgres::transaction::begin(*connection));
  fleet.psql(fmt::format("select pg_terminate_backend({})", connection->backend_pid()));
  try {
    run(fleet.io, quantumflow::publish(open, {queue, payload("p", 1), std::nullopt}));
    FAIL("no error");
  } catch (const postgres::sql_error& error) {
    CHECK(error.kind() == postgres::sql_kind::connection_lost);
  }
  CHECK(fleet.psql("select published_total from quantumflow.get_queue_stats('" + queue + "')") == "0");
}
