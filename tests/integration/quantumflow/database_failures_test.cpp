#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <catch2/catch.hpp>
#include <csignal>

#include "common/async/event.hpp"
#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;
using boost::asio::awaitable;
using quantumflow::outcome;

TEST_CASE("consumer: a message that always takes too long is found, and dead at last; one that does so twice is not") {
  queue_fixture fleet("consumer_slow");
  fleet.psql("create table handled (place bigserial, n int)");
  const std::string queue = "proposals_for_consensus_queue";
  // All of one key, so of one lane: behind the slow one nothing goes on meanwhile.
  for (int n = 1; n <= 12; ++n) fleet.publish(queue, {{"proposal_id", "p"}, {"n", n}});
  int times_slow = 0;
  int attempts_of_it = -1;
  const auto slow = [&](postgres::transaction& in,
                        std::span<const quantumflow::message> batch) -> awaitable<std::vector<outcome>> {
    std::vector<outcome> outcomes;
    for (const auto& each : batch) {
      const auto n = base::parse_json_object(each.body).value().at("n").as_int64();
      auto arguments = postgres::make_params(n);
      co_await in.query("insert into handled (n) values ($1)", std::move(arguments));
      if (n == 3) attempts_of_it = each.attempts;
      if (n == 7 || (n == 3 && times_slow++ < 2)) co_await in.query("select pg_sleep(30)");
      outcomes.push_back(outcome::done());
    }
    co_return outcomes;
  };
  auto impatient = fleet.settings();
  impatient.statement_timeout = std::chrono::milliseconds(150) * patience();
  postgres::pool pool(fleet.io.get_executor(), impatient, 2);
  quantumflow::consumer_options how;
  how.queue = queue;
  how.group = "centralcloud";
  how.batch_size = 8;
  how.max_retries = 1;
  how.retry_delay = std::chrono::milliseconds(1);
  quantumflow::consumer worker(pool, fleet.waker, how, slow);
  const auto working = fleet.consume_here(worker);
  REQUIRE(run_until(fleet.io, [&] { return fleet.psql("select count(*) from handled") == "11"; }));
  CHECK(fleet.psql("select string_agg(n::text, ' ' order by place) from handled") == "1 2 3 4 5 6 8 9 10 11 12");
  CHECK(fleet.psql("select payload ->> 'n', attempts, reason from quantumflow.list_dlq_messages()") ==
        "7|2|retries_exhausted");
  CHECK(attempts_of_it == 0);
}

TEST_CASE("consumer: a server without disk or memory costs no message an attempt, however often") {
  queue_fixture fleet("consumer_no_disk");
  const std::string queue = "proposals_for_consensus_queue";
  fleet.publish(queue, {{"proposal_id", "p"}});
  int tries = 0;
  int attempts_at_last = -1;
  const auto failing = [&](postgres::transaction& in,
                           std::span<const quantumflow::message> batch) -> awaitable<std::vector<outcome>> {
    attempts_at_last = batch.front().attempts;
    const std::string code = ++tries % 2 == 0 ? "53200" : "53100";
    if (tries < 8) co_await in.query("do $$ begin raise 'none left' using errcode = '" + code + "'; end $$");
    co_return std::vector<outcome>(batch.size());
  };
  quantumflow::consumer_options how;
  how.queue = queue;
  how.group = "centralcloud";
  how.retry_delay = std::chrono::milliseconds(1);
  quantumflow::consumer worker(fleet.pool, fleet.waker, how, failing);
  const auto working = fleet.consume_here(worker);
  REQUIRE(run_until(fleet.io, [&] { return tries == 8; }));
  CHECK(attempts_at_last == 0);
  CHECK(fleet.restarts == 7);
}

TEST_CASE("consumer: what a handler says in bytes that are no text, or of another service, is its message's failure") {
  queue_fixture fleet("consumer_odd_errors");
  const std::string queue = "proposals_for_consensus_queue";
  for (int n = 1; n <= 5; ++n) fleet.publish(queue, {{"proposal_id", fmt::format("p{}", n)}, {"n", n}});
  const auto odd = [&](postgres::transaction&,
                       std::span<const quantumflow::message> batch) -> awaitable<std::vector<outcome>> {
    std::vector<outcome> outcomes;
    for (const auto& each : batch) {
      const auto n = base::parse_json_object(each.body).value().at("n").as_int64();
      if (n == 1) throw std::runtime_error("cannot read \xff\xfe");
      if (n == 2) throw base::failure(base::make_error(base::error_kind::unavailable, "the other service is away"));
      if (n == 3) outcomes.push_back(outcome::failed(std::string("nul \0 inside", 12)));
      if (n == 4) outcomes.push_back(outcome::rejected("no \xc3 text"));
      // One outcome too many, and that a failed one: it says nothing about any message.
      if (n == 5) outcomes.push_back(outcome::done()), outcomes.push_back(outcome::failed("whose?"));
    }
    co_return outcomes;
  };
  quantumflow::consumer_options how;
  how.queue = queue;
  how.group = "centralcloud";
  how.batch_size = 50'000;  // more than a take may ask for
  how.max_retries = 1;
  how.retry_delay = std::chrono::milliseconds(1);
  quantumflow::consumer worker(fleet.pool, fleet.waker, how, odd);
  const auto working = fleet.consume_here(worker);
  REQUIRE(
      run_until(fleet.io, [&] { return fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "5"; }));
  CHECK(fleet.psql("select string_agg(concat_ws(' ', payload ->> 'n', reason, attempts), ',' order by payload ->> 'n') "
                   "from quantumflow.list_dlq_messages()") ==
        "1 retries_exhausted 2,2 retries_exhausted 2,3 retries_exhausted 2,4 rejected 1,5 retries_exhausted 2");
  CHECK(fleet.psql("select string_agg(error, ',' order by payload ->> 'n') from quantumflow.list_dlq_messages() "
                   "where (payload ->> 'n')::int < 5") ==
        "cannot read ??,the other service is away,nul ? inside,no ? text");
}

TEST_CASE("publish: a statement whose answer does not come may have been committed, and says so") {
  queue_fixture fleet("publish_unanswered");
  auto how = fleet.settings();
  how.statement_timeout = std::chrono::milliseconds(100);
  how.client_grace = std::chrono::milliseconds(100);
  postgres::pool pool(fleet.io.get_executor(), how, 1);
  pid_t backend = 0;
  {
    auto connection = run(fleet.io, pool.acquire());
    backend = connection->backend_pid();
  }
  REQUIRE(::kill(backend, SIGSTOP) == 0);
  bool unknown = false;
  try {
    run(fleet.io, quantumflow::publish(pool, {"proposals_for_consensus_queue", {{"proposal_id", "p"}}, std::nullopt}));
  } catch (const postgres::sql_error& error) {
    unknown = error.outcome_unknown();
  }
  ::kill(backend, SIGCONT);
  CHECK(unknown);
  // No connection at all is the database's failure, too, and nothing can have happened.
  auto taken = run(fleet.io, pool.acquire());
  bool refused = false;
  try {
    run(fleet.io, pool.acquire(std::chrono::milliseconds(10)));
  } catch (const postgres::sql_error& error) {
    refused = error.kind() == postgres::sql_kind::connection_lost && !error.outcome_unknown();
  }
  CHECK(refused);
}

TEST_CASE("a statement timeout of 0 is none, for the client as for the server") {
  queue_fixture fleet("no_statement_timeout");
  auto how = fleet.settings();
  how.statement_timeout = std::chrono::milliseconds(0);
  how.client_grace = std::chrono::milliseconds(50);
  postgres::pool pool(fleet.io.get_executor(), how, 1);
  auto connection = run(fleet.io, pool.acquire(std::chrono::milliseconds::max()));
  CHECK_NOTHROW(run(fleet.io, connection->query("select pg_sleep(0.3)")));
  CHECK_NOTHROW(run(fleet.io, connection->query("select 1", {}, std::chrono::milliseconds::max())));
}

TEST_CASE(
    "consumer: a hard stop alone changes nothing; one that is cancelled gives its batch back, without an attempt") {
  queue_fixture fleet("consumer_cancelled");
  const std::string queue = "proposals_for_consensus_queue";
  fleet.publish(queue, {{"proposal_id", "p"}});
  quantumflow::consumer_options how;
  how.queue = queue;
  how.group = "centralcloud";
  bool holds = false;
  async::event let_go;
  const auto hold = [&](postgres::transaction&,
                        std::span<const quantumflow::message> batch) -> awaitable<std::vector<outcome>> {
    holds = true;
    co_await let_go.wait_for(std::chrono::minutes(5));
    co_return std::vector<outcome>(batch.size());
  };
  async::stop_source stop(fleet.io.get_executor());
  boost::asio::cancellation_signal cancel;
  bool ended = false;
  quantumflow::consumer first(fleet.pool, fleet.waker, how, hold);
  boost::asio::co_spawn(fleet.io, first.run(stop.token()),
                        boost::asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr) { ended = true; }));
  REQUIRE(run_until(fleet.io, [&] { return holds; }));
  stop.request_hard();
  run_until(
      fleet.io, [&] { return ended; }, std::chrono::milliseconds(100));
  CHECK_FALSE(ended);
  cancel.emit(boost::asio::cancellation_type::terminal);
  REQUIRE(run_until(fleet.io, [&] { return ended; }));

  int attempts = -1;
  const auto note = [&](postgres::transaction&,
                        std::span<const quantumflow::message> batch) -> awaitable<std::vector<outcome>> {
    attempts = batch.front().attempts;
    co_return std::vector<outcome>(batch.size());
  };
  quantumflow::consumer second(fleet.pool, fleet.waker, how, note);
  const auto working = fleet.consume_here(second);
  CHECK(run_until(fleet.io, [&] { return attempts == 0; }));
}
