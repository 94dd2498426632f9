#include "singularity_agent/api/step_feed.hpp"

#include <catch2/catch.hpp>

#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using test::agent_fixture;

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
