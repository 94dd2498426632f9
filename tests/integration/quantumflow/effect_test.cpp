#include "common/quantumflow/effect.hpp"

#include <catch2/catch.hpp>

#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;
using boost::asio::awaitable;
using quantumflow::message;
using quantumflow::outcome;

namespace {

const std::string queue = "proposals_for_consensus_queue";

/// The world outside the database: what was done to it, and how the handler is to fail around it.
struct world {
  std::vector<std::string> done;
  int asked = 0;
  enum class failing { nowhere, before, after, cut } fails = failing::nowhere;
  int failures_left = 1;
};

awaitable<outcome> call_out(queue_fixture& fleet, world& outside, postgres::transaction& transaction,
                            const message& taken) {
  quantumflow::effect call;
  call.key = "message " + std::to_string(base::to_int(taken.id)) + ": call";
  call.find = [&outside]() -> awaitable<std::optional<std::string>> {
    ++outside.asked;
    if (outside.done.empty()) co_return std::nullopt;
    co_return outside.done.back();
  };
  call.perform = [&outside]() -> awaitable<std::string> {
    const bool fails = outside.fails == world::failing::before && outside.failures_left-- > 0;
    if (fails) throw std::runtime_error("the line is busy");
    outside.done.push_back("call " + std::to_string(outside.done.size() + 1));
    co_return outside.done.back();
  };
  const auto result = co_await quantumflow::perform_once(fleet.pool, transaction, std::move(call));
  if (outside.fails == world::failing::after && outside.failures_left-- > 0) throw std::runtime_error("stumbled");
  if (outside.fails == world::failing::cut && outside.failures_left-- > 0)
    fleet.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and "
        "state = 'idle in transaction'");
  auto arguments = postgres::make_params(result);
  co_await transaction.query("insert into answered (result) values ($1)", std::move(arguments));
  co_return outcome::done();
}

/// Publishes one message and lets it be handled; answers what the database holds of it.
std::string handle(queue_fixture& fleet, world& outside) {
  fleet.psql("create table answered (result text)");
  quantumflow::consumer_options how;
  how.queue = queue;
  how.group = "centralcloud";
  how.retry_delay = std::chrono::milliseconds(1);
  quantumflow::consumer worker(
      fleet.pool, fleet.waker, how,
      [&](postgres::transaction& in, std::span<const message> batch) -> awaitable<std::vector<outcome>> {
        std::vector<outcome> outcomes;
        for (const auto& each : batch) {
          auto answer = co_await call_out(fleet, outside, in, each);
          outcomes.push_back(std::move(answer));
        }
        co_return outcomes;
      });
  boost::json::object payload;
  payload["proposal_id"] = "p";
  fleet.publish(queue, std::move(payload));
  const auto running = fleet.consume_here(worker);
  run_until(fleet.io, [&] { return fleet.psql("select count(*) from answered") != "0"; });
  return fleet.psql("select string_agg(result, ',') from answered");
}

}  // namespace

TEST_CASE("effect: it is performed once, and its result kept") {
  queue_fixture fleet("effect_once");
  world outside;
  CHECK(handle(fleet, outside) == "call 1");
  CHECK(outside.done.size() == 1);
  CHECK(outside.asked == 0);
  CHECK(fleet.psql("select result, tries from quantumflow.effect") == "call 1|1");
}

TEST_CASE("effect: one that failed is tried again") {
  queue_fixture fleet("effect_failed");
  world outside;
  outside.fails = world::failing::before;
  CHECK(handle(fleet, outside) == "call 1");
  CHECK(outside.done.size() == 1);
  CHECK(outside.asked >= 1);
}

TEST_CASE("effect: one that happened is found, not repeated, when the handler failed after it") {
  queue_fixture fleet("effect_found");
  world outside;
  outside.fails = world::failing::after;
  CHECK(handle(fleet, outside) == "call 1");
  CHECK(outside.done.size() == 1);
  CHECK(outside.asked == 1);
}

TEST_CASE("effect: one that happened is found, not repeated, when the connection was lost before the commit") {
  queue_fixture fleet("effect_cut");
  world outside;
  outside.fails = world::failing::cut;
  CHECK(handle(fleet, outside) == "call 1");
  CHECK(outside.done.size() == 1);
  CHECK(outside.asked == 1);
  CHECK(fleet.restarts >= 1);
}

namespace {

using handler_with_pool =
    std::function<awaitable<std::vector<outcome>>(postgres::pool&, postgres::transaction&, std::span<const message>)>;

/// What is kept of a message whose handling leaves its transaction alone for longer than the server lets it wait.
std::string outlast_idle_limit(const std::string& database, const handler_with_pool& handle) {
  queue_fixture fleet(database);
  auto impatient = fleet.settings();
  impatient.idle_in_transaction_timeout = std::chrono::milliseconds(200) * patience();
  postgres::pool pool(fleet.io.get_executor(), impatient, 4);
  quantumflow::consumer_options how;
  how.queue = queue;
  how.group = "centralcloud";
  how.max_retries = 1;
  how.retry_delay = std::chrono::milliseconds(1);
  // In the first batch with another, which is handled once the two have been told apart.
  fleet.publish(queue, {{"proposal_id", "p"}, {"n", 1}});
  fleet.publish(queue, {{"proposal_id", "p"}, {"n", 2}});
  int done = 0;
  int dead = 0;
  quantumflow::consumer worker(
      pool, fleet.waker, how,
      [&](postgres::transaction& in, std::span<const message> batch) { return handle(pool, in, batch); },
      [&](const message&, const outcome& what) {
        done += quantumflow::fate_of(what) == "done" ? 1 : 0;
        dead += quantumflow::fate_of(what) == "dead" ? 1 : 0;
      });
  const auto working = fleet.consume_here(worker);
  CHECK(run_until(fleet.io, [&] { return done == 1 && dead == 1; }));
  return fleet.psql(
      "select payload ->> 'n', attempts, reason, error like '%25P03%' from quantumflow.list_dlq_messages()");
}

bool is_first(const message& taken) {
  return base::parse_json_object(taken.body).value().at("n").as_int64() == 1;
}

/// Until the server has ended the transaction's session.
awaitable<void> outlast(postgres::pool& pool, postgres::transaction& open) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const int backend = open.on().backend_pid();
  for (bool there = true; there && std::chrono::steady_clock::now() < give_up;) {
    co_await async::stop_token().sleep_for(std::chrono::milliseconds(10));
    auto connection = co_await pool.acquire();
    auto arguments = postgres::make_params(backend);
    const auto answer = co_await connection->query(
        "select exists (select from pg_stat_activity where pid = $1::int) as there", std::move(arguments));
    there = answer.single().get<bool>("there");
  }
}

}  // namespace

TEST_CASE("effect: one that always takes longer than a transaction may wait is a dead letter at last") {
  int performed = 0;
  const auto handle = [&](postgres::pool& pool, postgres::transaction& in,
                          std::span<const message> batch) -> awaitable<std::vector<outcome>> {
    for (const auto& each : batch) {
      quantumflow::effect call;
      call.key = "message " + std::to_string(base::to_int(each.id)) + ": call";
      const bool slow = is_first(each);
      call.perform = [&pool, &in, &performed, slow]() -> awaitable<std::string> {
        if (slow) ++performed;
        if (slow) co_await outlast(pool, in);
        co_return "called";
      };
      co_await quantumflow::perform_once(pool, in, std::move(call));
    }
    co_return std::vector<outcome>(batch.size());
  };
  CHECK(outlast_idle_limit("effect_idle", handle) == "1|2|retries_exhausted|t");
  // In a batch of two, three times alone, and once as its retry.
  CHECK(performed == 5);
}

TEST_CASE("consumer: a handler that leaves its transaction alone for too long fails, whatever it says then") {
  const bool throws = GENERATE(false, true);
  const auto handle = [throws](postgres::pool& pool, postgres::transaction& in,
                               std::span<const message> batch) -> awaitable<std::vector<outcome>> {
    for (const auto& each : batch) {
      if (!is_first(each)) continue;
      co_await outlast(pool, in);
      if (throws) throw std::runtime_error("the line is busy");
    }
    co_return std::vector<outcome>(batch.size());
  };
  CHECK(outlast_idle_limit(throws ? "consumer_idle_thrown" : "consumer_idle", handle) == "1|2|retries_exhausted|t");
}

TEST_CASE("effect: where the pool has no second connection the error says what is needed") {
  queue_fixture fleet("effect_small_pool");
  postgres::pool small(fleet.io.get_executor(), fleet.settings(), 1);
  auto only = run(fleet.io, small.acquire());
  auto open = run(fleet.io, postgres::transaction::begin(*only));
  quantumflow::effect call;
  call.key = "call";
  call.perform = []() -> awaitable<std::string> { co_return "called"; };
  try {
    run(fleet.io, quantumflow::perform_once(small, open, std::move(call)));
    FAIL("no error");
  } catch (const base::failure& failed) {
    CHECK(failed.get().kind == base::error_kind::unavailable);
    CHECK_THAT(failed.what(), Catch::Contains("the pool must have more than the workers that use it"));
  }
}
