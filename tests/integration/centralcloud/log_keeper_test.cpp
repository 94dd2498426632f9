#include "centralcloud_daemon/log_keeper.hpp"

#include <catch2/catch.hpp>

#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

struct kept_log : queue_fixture {
  explicit kept_log(const std::string& database) : queue_fixture(database) {
    how.rotation_interval = std::chrono::seconds(1);
    how.lag_rotations = 1;
    how.instance_expiry = std::chrono::hours(1);
  }
  /// Two of them, as with two coordinators.
  void start() {
    for (auto* keeper : {&one, &other}) {
      ++running;
      boost::asio::co_spawn(io, keeper->run(stop.token()), [this](std::exception_ptr failure) {
        --running;
        if (failure) ++restarts;
      });
    }
  }
  bool waits_for(const std::string& condition) {
    return run_until(io, [&] { return psql("select " + condition) == "t"; });
  }

  quantumflow::maintenance_settings how;
  telemetry::logger log = telemetry::logger::none();
  central::log_keeper one{pool, how, log};
  central::log_keeper other{pool, how, log};
};

}  // namespace

TEST_CASE("log keeper: the log is truncated, and what an absent reader has not read is in its backlog") {
  kept_log with("log_keeper");
  with.psql("select quantumflow.subscribe('voting_requests_queue', 'absent')");
  with.psql(
      "select count(quantumflow.publish('voting_requests_queue', jsonb_build_object('n', n))) from generate_series(1, "
      "500) n");
  with.start();
  const bool truncated = with.waits_for("count(*) = 0 from quantumflow.message");
  INFO(with.psql("select * from quantumflow.segments()"));
  CHECK(truncated);
  CHECK(with.psql("select count(*) from quantumflow.backlog") == "500");
  CHECK(with.psql("select published_total, pending from quantumflow.get_queue_stats('voting_requests_queue')") ==
        "500|500");
  with.psql("select count(*) from quantumflow.take('voting_requests_queue', 'absent', 500)");
  CHECK(with.waits_for("count(*) = 0 from quantumflow.backlog"));
  CHECK(with.restarts == 0);
  with.stop_all();
}

TEST_CASE("log keeper: what waits for an instance that stays silent becomes dead letters") {
  kept_log with("log_keeper_expiry");
  with.psql("select quantumflow.publish('rollback_triggers_queue', '{\"n\": 1}', 'gone')");
  with.psql("select count(*) from quantumflow.rotate('0 s'), quantumflow.move_laggards('0 s')");
  with.psql("select quantumflow.move_laggards('0 s')");
  with.psql("update quantumflow.backlog set enqueued_at = enqueued_at - interval '2 hours'");
  with.psql("update quantumflow.cursor_position set taken_at = taken_at - interval '2 hours'");
  with.start();
  CHECK(with.waits_for("count(*) = 1 from quantumflow.list_dlq_messages() where reason = 'recipient_expired'"));
  CHECK(with.restarts == 0);
  with.stop_all();
}
