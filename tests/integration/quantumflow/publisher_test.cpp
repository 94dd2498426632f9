#include "common/quantumflow/publisher.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "common/postgres/error.hpp"
#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;
using boost::asio::awaitable;

namespace {

const std::string queue = "votes_for_consensus_queue";

struct publishing {
  explicit publishing(queue_fixture& in, quantumflow::publisher_options options = {})
      : fleet(in), publisher(in.pool, std::move(options)), stop(in.io.get_executor()) {
    boost::asio::co_spawn(fleet.io, publisher.run(stop.token()), [this](std::exception_ptr) { ended = true; });
  }
  ~publishing() {
    stop.request_soft();
    run_until(fleet.io, [this] { return ended; });
  }

  /// Publishes without waiting; what became of it is in `ids` or `errors`.
  void spawn(std::string to, int n) {
    ++spawned;
    boost::asio::co_spawn(fleet.io, one(std::move(to), n), boost::asio::detached);
  }
  void finish() {
    INFO(ids.size() << " published, " << errors.size() << " refused of " << spawned);
    REQUIRE(run_until(fleet.io, [this] { return ids.size() + errors.size() == spawned; }));
  }

  queue_fixture& fleet;
  quantumflow::publisher publisher;
  async::stop_source stop;
  bool ended = false;
  std::size_t spawned = 0;
  std::set<std::int64_t> ids;
  std::vector<std::string> errors;
  bool keyed = false;

 private:
  awaitable<void> one(std::string to, int n) {
    boost::json::object payload;
    payload["proposal_id"] = "p";
    payload["n"] = n;
    quantumflow::publication what{std::move(to), std::move(payload)};
    if (keyed) what.ordering_key = "p";
    try {
      const auto id = co_await publisher.publish(std::move(what));
      ids.insert(base::to_int(id));
    } catch (const base::failure& failure) {
      errors.emplace_back(failure.what());
    }
  }
};

}  // namespace

TEST_CASE("publisher: concurrent publishes share commits, and keep the order of the calls") {
  queue_fixture fleet("publisher_coalesce");
  publishing all(fleet);
  for (int n = 0; n < 500; ++n) all.spawn(n % 5 == 0 ? "metrics_to_guardian_queue" : queue, n);
  all.finish();
  CHECK(all.errors.empty());
  CHECK(all.ids.size() == 500);
  INFO(all.publisher.flushes_total() << " flushes");
  CHECK(all.publisher.flushes_total() <= 10);
  const auto in_order = fleet.psql(
      "select bool_and(n > before) from (select (body::json ->> 'n')::int as n, lag((body::json ->> 'n')::int) over "
      "(partition by stream_id order by msg_id) as before from quantumflow.message) in_order where before is not null");
  CHECK(in_order == "t");
  CHECK(fleet.psql("select pending from quantumflow.get_queue_stats('" + queue + "')") == "400");
}

TEST_CASE("publisher: a message goes to the same lane, its key given or read from the payload") {
  queue_fixture fleet("publisher_keyed");
  publishing all(fleet);
  all.spawn(queue, 1);
  all.finish();
  all.keyed = true;
  all.spawn(queue, 2);
  all.finish();
  CHECK(fleet.psql("select count(*), count(distinct stream_id) from quantumflow.message") == "2|1");
}

TEST_CASE("publisher: what is refused does not take its neighbours with it") {
  queue_fixture fleet("publisher_refused");
  publishing all(fleet);
  for (int n = 0; n < 20; ++n) all.spawn(n == 7 ? "no_such_queue" : queue, n);
  all.finish();
  CHECK(all.ids.size() == 19);
  REQUIRE(all.errors.size() == 1);
  CHECK_THAT(all.errors[0], Catch::Contains("there is no queue named \"no_such_queue\""));
  CHECK(fleet.psql("select pending from quantumflow.get_queue_stats('" + queue + "')") == "19");
}

TEST_CASE("publisher: one that is started again under the same name publishes its own, whose numbers begin anew") {
  queue_fixture fleet("publisher_again");
  quantumflow::publisher_options named;
  named.producer = "orders";
  std::set<std::int64_t> ids;
  for (int start = 0; start < 2; ++start) {
    publishing one(fleet, named);
    one.spawn(queue, start);
    one.finish();
    CHECK(one.errors.empty());
    ids.insert(one.ids.begin(), one.ids.end());
  }
  CHECK(ids.size() == 2);
  CHECK(fleet.psql("select string_agg(body::json ->> 'n', ' ' order by msg_id) from quantumflow.message") == "0 1");
}

TEST_CASE("publisher: connections that are cut lose nothing and double nothing") {
  queue_fixture fleet("publisher_cut");
  publishing all(fleet);
  for (int round = 0; round < 30; ++round) {
    for (int n = 0; n < 20; ++n) all.spawn(queue, round * 20 + n);
    // Some flushes are cut before, some after their commit.
    run_until(fleet.io, [&] { return all.ids.size() > static_cast<std::size_t>(round) * 10; });
    fleet.psql(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid() and query like '%publish_once%'");
  }
  all.finish();
  INFO((all.errors.empty() ? "" : all.errors[0]));
  CHECK(all.errors.empty());
  CHECK(fleet.psql("select count(*), count(distinct body::json ->> 'n') from quantumflow.message") == "600|600");
}

TEST_CASE("publisher: a soft stop publishes what waits") {
  queue_fixture fleet("publisher_stop");
  std::size_t published = 0;
  {
    publishing all(fleet);
    for (int n = 0; n < 50; ++n) all.spawn(queue, n);
    run_until(fleet.io, [&] { return all.publisher.waiting() == 50; });
    all.stop.request_soft();
    all.finish();
    published = all.ids.size();
    CHECK(run_until(fleet.io, [&] { return all.ended; }));
    all.spawn(queue, 51);
    all.finish();
    CHECK(all.errors == std::vector<std::string>{"the publisher has stopped"});
  }
  CHECK(published == 50);
}

TEST_CASE("publisher: more than it may hold is refused at once") {
  queue_fixture fleet("publisher_full");
  quantumflow::publisher_options small;
  small.max_waiting = 3;
  quantumflow::publisher idle(fleet.pool, small);  // nobody runs it
  int refused = 0;
  for (int n = 0; n < 5; ++n) {
    quantumflow::publication what{queue, {}, std::nullopt};
    boost::asio::co_spawn(fleet.io, idle.publish(std::move(what)), [&](std::exception_ptr thrown, base::message_id) {
      try {
        if (thrown) std::rethrow_exception(thrown);
      } catch (const base::failure& failure) {
        if (failure.get().kind == base::error_kind::unavailable) ++refused;
      }
    });
  }
  CHECK(run_until(fleet.io, [&] { return refused == 2; }));
  CHECK(idle.waiting() == 3);
}
