// Timed work of several coordinators at once: whoever gets it, each thing is done once, also while sessions are killed.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

/// The timers of one more coordinator, with connections of its own; started again when its session is cut.
class coordinator {
 public:
  coordinator(central_fixture& in, const std::string& url)
      : pool_(in.io.get_executor(), settings_for(url), 2),
        timed_(pool_, in.votes, in.changes, in.guardian_settings, in.log, in.metrics),
        stop_(in.stop.token()),
        running_(in.running) {
    ++running_;
    boost::asio::co_spawn(in.io, run_again_and_again(), [this](std::exception_ptr) { --running_; });
  }
  int failures = 0;

 private:
  static postgres::settings settings_for(const std::string& url) {
    postgres::settings how;
    how.url = url;
    how.application_name = "racer";
    return how;
  }
  boost::asio::awaitable<void> run_again_and_again() {
    while (!stop_.soft_requested()) {
      try {
        co_await timed_.run(stop_);
      } catch (const base::failure&) {
        ++failures;
      }
      co_await stop_.sleep_for(std::chrono::milliseconds(5));
    }
  }
  postgres::pool pool_;
  central::timers timed_;
  async::stop_token stop_;
  decltype(central_fixture::running)& running_;
};

}  // namespace

TEST_CASE(
    "timed work: deadlines and windows that are due are done once, by several coordinators whose sessions are cut") {
  central_fixture with("timed_races");
  constexpr int each = 60;
  // Votes whose time is up, and watched changes whose window has ended.
  with.psql(fmt::format(
      "select centralcloud.heartbeat(i, '1', '{{voter}}') from unnest('{{a,b,c}}'::text[]) i;"
      "select centralcloud.receive_proposal(jsonb_build_object('proposal_id', k || n, 'instance_id', 'a', "
      "'agent_type', 'T', "
      "'safety_profile', '{{}}'::jsonb)) from generate_series(1, {0}) n, unnest('{{vote,watch}}'::text[]) k;"
      "select centralcloud.open_vote(proposal_id, 0, 60000, true, 1, 0) from centralcloud.proposal;"
      "select centralcloud.decide('watch' || n, 'approved', 'consensus', 'r', 1, 'x') from generate_series(1, {0}) n;"
      "select centralcloud.record_sample('watch' || n, 'a', 'applied', '{{}}', '{{\"error_rate\": 0.01}}', now(), 0) "
      "from generate_series(1, {0}) n",
      each));
  std::vector<std::unique_ptr<coordinator>> all;
  for (int i = 0; i < 4; ++i) all.push_back(std::make_unique<coordinator>(with, with.url));
  const std::string open_work =
      "select count(*) filter (where state = 'voting') from centralcloud.proposal union all "
      "select count(*) from centralcloud.change where state = 'watching'";
  const std::string cut =
      "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where application_name = 'racer' "
      "and datname = current_database() order by random() limit 1) s";
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30) * patience();
  int cuts = 0;
  while (with.now_gives(open_work) != "0\n0" && std::chrono::steady_clock::now() < deadline) {
    with.io.restart();
    with.io.run_for(std::chrono::milliseconds(15));
    cuts += std::stoi(with.now_gives(cut));
  }
  with.stop_all();
  CHECK(with.now_gives(open_work) == "0\n0");
  INFO(cuts << " sessions cut");
  CHECK(cuts > 0);
  int failures = 0;
  for (const auto& one : all) failures += one->failures;
  CHECK(failures > 0);
  CHECK(with.now_gives(
            "select count(*), count(distinct proposal_id) from centralcloud.decision where rule = 'timeout'") ==
        fmt::format("{0}|{0}", each));
  CHECK(
      with.now_gives("select count(*), count(distinct proposal_id) from centralcloud.step where state = 'confirmed'") ==
      fmt::format("{0}|{0}", each));
  // One result a decision that the timers made.
  CHECK(with.now_gives("select published_total from quantumflow.get_queue_stats('consensus_results_queue')") ==
        std::to_string(each));
  CHECK(with.now_gives(
            "select count(*) from (select 1 from centralcloud.audit_log where action in ('decision', 'confirmed') "
            "group by action, proposal_id having count(*) > 1) s") == "0");
}
