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
