#include "singularity_agent/execution/command_executor.hpp"

#include "singularity_agent/metrics/command_sampler.hpp"
#include "tests/integration/executor/git_fixture.hpp"

namespace fleet::test {
namespace {

using base::error_kind;

struct command_fixture {
  auto make(std::string command) {
    agent::execution::command_executor_options options;
    options.command = std::move(command);
    options.working_directory = top.path();
    options.instance = "agent-1";
    options.timeout = std::chrono::milliseconds(2000);
    return agent::execution::command_executor(io.get_executor(), options);
  }
  temporary_directory top;
  boost::asio::io_context io;
};

TEST_CASE("command executor: the command gets the change and knows what it is asked for") {
  command_fixture f;
  auto by = f.make("{ echo $ACTION $PROPOSAL_ID $INSTANCE_ID; cat; echo; } >> seen");
  boost::json::object change;
  change["anything"] = 1;
  const base::proposal_id id("p-1");
  REQUIRE(run(f.io, by.apply({id, change, ""})));
  REQUIRE(run(f.io, by.verify(id))->passed);
  REQUIRE(run(f.io, by.undo(id, {})));
  CHECK(read_file(f.top.path() / "seen") ==
        "apply p-1 agent-1\n{\"anything\":1}\nverify p-1 agent-1\n{}\nrevert p-1 agent-1\n{}\n");
}

TEST_CASE("command executor: a failure carries the end of standard error, a time-out says so") {
  command_fixture f;
  auto failing = f.make("echo 'no such thing' >&2; exit 4");
  const base::proposal_id id("p-1");
  const auto failed = run(f.io, failing.apply({id, {}, ""}));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().kind == error_kind::conflict);
  CHECK(failed.error().message.starts_with("the command failed to apply: exit code 4"));
  CHECK(failed.error().message.ends_with(": no such thing"));
  const auto checked = run(f.io, failing.verify(id));
  REQUIRE(checked);
  CHECK(checked->exit_code == 4);
  agent::execution::command_executor_options options;
  options.command = "exec sleep 30";
  options.timeout = std::chrono::milliseconds(50);
  agent::execution::command_executor slow(f.io.get_executor(), options);
  CHECK(run(f.io, slow.revert(id)).error().kind == error_kind::timeout);
}

TEST_CASE("command sampler: what the command prints, its failure and its time-out") {
  boost::asio::io_context io;
  const auto sample = [&](std::string command) {
    agent::metrics::command_sampler_options options;
    options.command = std::move(command);
    options.timeout = std::chrono::milliseconds(300);
    agent::metrics::command_sampler from(options);
    return run(io, from.sample());
  };
  const auto good = sample("echo '{\"error_rate\": 0.25, \"my_own\": 7}'");
  REQUIRE(good);
  CHECK(good->at("error_rate") == base::decimal::from_millionths(250'000));
  CHECK(good->at("my_own") == base::decimal::from_int(7));
  const auto wrong = sample("echo '{\"error_rate\": \"high\"}'");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().kind == error_kind::invalid_input);
  CHECK(wrong.error().message.find("metrics.command.error_rate") != std::string::npos);
  CHECK(sample("echo broken >&2; exit 1").error().kind == error_kind::unavailable);
  CHECK(sample("exec sleep 30").error().kind == error_kind::timeout);
}

}  // namespace
}  // namespace fleet::test
