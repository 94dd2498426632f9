#include "singularity_agent/api/step_feed.hpp"

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch.hpp>
#include <set>

#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using test::agent_fixture;

namespace {

/// "p1 pending" of the next event; what came instead, or nothing, as it is.
std::string next_step(agent_fixture& with, http::event_stream& stream) {
  const auto event = test::run(with.io, stream.next(std::chrono::seconds(10)));
  if (!event) return "nothing";
  constexpr std::string_view prefix = "event: step\ndata: ";
  if (!event->starts_with(prefix)) return *event;
  const auto step = boost::json::parse(event->substr(prefix.size())).as_object();
  return std::string(step.at("proposal_id").as_string()) + " " + std::string(step.at("to").as_string());
}

}  // namespace

TEST_CASE("step_feed: every step comes once, also one that was taken while the database could not be asked") {
  agent_fixture with("agent_step_feed");
  http::event_hub hub(with.io.get_executor());
  agent::api::step_feed feed(with.pool, with.queue->repository(), hub, with.wake);
  const auto stream = test::run(with.io, feed.subscribe());
  REQUIRE(stream);
  const auto look = [&] {
    async::stop_source once(with.io.get_executor());
    const auto turned = [&] { once.request_soft(); };
    test::run(with.io, feed.run(once.token(), turned));
    std::string told;
    while (const auto event = test::run(with.io, stream->next(std::chrono::milliseconds(0)))) told += *event;
    return told;
  };
  CHECK(look().empty());
  with.submit(agent_fixture::proposal("p1"));
  with.psql("alter function singularity.steps_since rename to steps_gone");
  CHECK_THROWS(look());
  with.psql("alter function singularity.steps_gone rename to steps_since");
  const auto told = look();
  CHECK_THAT(told, Catch::Contains("event: step") && Catch::Contains(R"("proposal_id":"p1")") &&
                       Catch::Contains(R"("to":"pending")"));
  CHECK(look().empty());
}

TEST_CASE("step_feed: who subscribes gets every step committed from then on, once, and none from before") {
  agent_fixture with("agent_step_feed_from");
  http::event_hub hub(with.io.get_executor());
  agent::api::step_feed feed(with.pool, with.queue->repository(), hub, with.wake);
  with.submit(agent_fixture::proposal("before"));
  const auto first = test::run(with.io, feed.subscribe());
  REQUIRE(first);
  // Before the feed has looked even once.
  with.submit(agent_fixture::proposal("p1"));
  ++with.running;
  boost::asio::co_spawn(with.io, feed.run(with.stop.token()), [&](std::exception_ptr) { --with.running; });
  const test::queue_fixture::running_worker until_end(with);
  CHECK(next_step(with, *first) == "p1 pending");

  const auto second = test::run(with.io, feed.subscribe());
  REQUIRE(second);
  with.send_all();
  with.wake.step_taken();
  const std::set<std::string> sent{"before sent_for_consensus", "p1 sent_for_consensus"};
  for (const auto& each : {first, second}) CHECK(std::set{next_step(with, *each), next_step(with, *each)} == sent);
  with.handle(with.result("p1", "approved"));
  with.wake.step_taken();
  for (const auto& each : {first, second}) CHECK(next_step(with, *each) == "p1 consensus_reached");
}
