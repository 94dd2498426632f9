#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <catch2/catch.hpp>

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
