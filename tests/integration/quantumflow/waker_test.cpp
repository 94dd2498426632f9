#include "common/quantumflow/waker.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <catch2/catch.hpp>

#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

/// A queue of one lane on which a publish is under way, and what its sleepers see.
class publish_under_way {
 public:
  explicit publish_under_way(queue_fixture& in)
      : fleet_(in), publisher_(run(in.io, in.pool.acquire())), other_(run(in.io, in.pool.acquire())) {
    fleet_.psql("select quantumflow.declare_queue('one_lane', 'lanes', '{key}', 1, 'sleepers')");
    const auto channel = ask(*other_, "select quantumflow.wake_channels('one_lane', 'sleepers')");
    ask(*other_, "listen " + channel);
  }
  void begin() {
    ask(*publisher_, "begin");
    ask(*publisher_, R"(select quantumflow.publish('one_lane', '{"n": 1}'::text, null, 'k')::text)");
  }
  void commit() { ask(*publisher_, "commit"); }
  std::string lie_down(bool patient) {
    return fleet_.psql(std::string("select flag from quantumflow.lie_down('one_lane', 'sleepers', ") +
                       (patient ? "true)" : "false)"));
  }
  /// Commits as soon as somebody waits for it, and gives the flag; `waited`: whether somebody was seen.
  std::string lie_down_and_commit(bool& waited) {
    std::string flag;
    bool ended = false;
    auto sleeper = run(fleet_.io, fleet_.pool.acquire());
    const auto call = [&]() -> boost::asio::awaitable<void> {
      const auto rows =
          co_await sleeper->query("select flag from quantumflow.lie_down('one_lane', 'sleepers', true) lain");
      flag = rows.single().get<std::string>(0);
      co_await sleeper->query("select quantumflow.get_up('one_lane', 'sleepers')");
      ended = true;
    };
    boost::asio::co_spawn(fleet_.io, call(), boost::asio::detached);
    while (flag.empty() && !waited)
      waited = ask(*other_, "select count(*)::text from pg_locks where locktype = 'advisory' and not granted") == "1";
    commit();
    if (!run_until(fleet_.io, [&] { return ended; })) throw std::runtime_error("the sleeper did not get up");
    return flag;
  }
  bool notified(std::chrono::milliseconds within) { return run(fleet_.io, other_->wait_notification(within)); }

 private:
  std::string ask(postgres::connection& on, std::string sql) {
    const auto rows = run(fleet_.io, on.query(std::move(sql)));
    return rows.empty() ? std::string() : rows[0].get<std::string>(0);
  }

  queue_fixture& fleet_;
  postgres::lease publisher_, other_;
};

}  // namespace

TEST_CASE(
    "waker: who lies down while a publish is under way waits for its commit, and then sleeps on the raised flag") {
  queue_fixture fleet("waker_patient");
  publish_under_way queue(fleet);
  bool waited = false;
  std::string flag;
  // A busy machine may keep the commit longer than the wait lasts.
  for (int attempt = 0; attempt < 50 && !(waited && flag == "raised"); ++attempt) {
    waited = false;
    queue.begin();
    flag = queue.lie_down_and_commit(waited);
  }
  CHECK(waited);
  CHECK(flag == "raised");
}

TEST_CASE("waker: a publish that stays open is not waited for, and who took the waiter for a sleeper is told") {
  queue_fixture fleet("waker_impatient");
  publish_under_way queue(fleet);
  queue.begin();
  CHECK(queue.lie_down(false) == "busy");
  CHECK_FALSE(queue.notified(std::chrono::milliseconds(50)));
  CHECK(queue.lie_down(true) == "busy");
  CHECK(queue.notified(std::chrono::seconds(10)));
  queue.commit();
  CHECK(queue.lie_down(true) == "raised");
}

TEST_CASE("waker: a session that may LISTEN but gets nothing is found out, and sleeps are short then") {
  queue_fixture fleet("waker_deaf");
  // As behind a transaction pooler: LISTEN is taken, and what is sent arrives somewhere else. Here, another database.
  auto elsewhere = fleet.settings();
  elsewhere.url = fleet_database("waker_elsewhere");
  std::vector<bool> states;
  quantumflow::waker deaf(fleet.io.get_executor(), elsewhere, [&](bool up) { states.push_back(up); });
  const auto listening = fleet.listen_here(deaf);
  run_until(fleet.io, [&] { return states.size() == 2; });
  CHECK(states == std::vector<bool>{true, false});
  CHECK_FALSE(deaf.listening());

  const auto began = std::chrono::steady_clock::now();
  auto asleep =
      deaf.sleep("proposals_for_consensus_queue", "centralcloud", std::chrono::minutes(5), fleet.stop.token());
  run(fleet.io, std::move(asleep));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(30));
}

TEST_CASE("waker: one that hears stays as it is") {
  queue_fixture fleet("waker_hears");
  std::vector<bool> states;
  quantumflow::waker hearing(fleet.io.get_executor(), fleet.settings(), [&](bool up) { states.push_back(up); });
  const auto listening = fleet.listen_here(hearing);
  run_until(fleet.io, [&] { return hearing.listening(); });
  // The proof's notification is on its channel; wait until one was sent and came.
  const auto seen = [&] {
    return fleet.psql("select count(*) from pg_stat_activity where query like 'select pg_notify%'") != "0";
  };
  run_until(fleet.io, seen);
  CHECK(hearing.listening());
  CHECK(states == std::vector<bool>{true});
}

TEST_CASE("waker: a look that fails leaves the flag of those who sleep already, and the last of them lowers it") {
  queue_fixture fleet("waker_failing_look");
  quantumflow::waker waker(fleet.io.get_executor(), fleet.settings(), [](bool) {});
  const auto listening = fleet.listen_here(waker);
  run_until(fleet.io, [&] { return waker.listening(); });
  int asleep = 0;
  const auto sleep = [&](std::chrono::milliseconds limit) -> boost::asio::awaitable<void> {
    ++asleep;
    co_await waker.sleep("proposals_for_consensus_queue", "centralcloud", limit, fleet.stop.token());
    --asleep;
  };
  const auto raised = [&] {
    return fleet.psql("select count(*) from pg_locks where locktype = 'advisory' and classid = 1902672") == "1";
  };
  boost::asio::co_spawn(fleet.io, sleep(std::chrono::seconds(60)), boost::asio::detached);
  REQUIRE(run_until(fleet.io, raised));

  fleet.psql(
      "alter function quantumflow.next_work_ms rename to real_work_ms; "
      "create function quantumflow.next_work_ms(text, text) returns bigint language plpgsql as "
      "'begin raise exception ''not now''; end'");
  run(fleet.io, sleep(std::chrono::milliseconds(10)));
  CHECK(asleep == 1);
  CHECK(raised());
  fleet.psql(
      "drop function quantumflow.next_work_ms; "
      "alter function quantumflow.real_work_ms rename to next_work_ms");
  fleet.psql(R"(select quantumflow.publish('proposals_for_consensus_queue', '{"n": 1}'::text, null, 'k'))");
  CHECK(run_until(fleet.io, [&] { return asleep == 0 && !raised(); }));
}

TEST_CASE(
    "waker: who is cancelled leaves nothing behind: no sleeper that is gone, no session that is believed to last") {
  queue_fixture fleet("waker_cancelled");
  quantumflow::waker waker(fleet.io.get_executor(), fleet.settings());
  boost::asio::cancellation_signal cancel_run;
  boost::asio::cancellation_signal cancel_sleep;
  bool runs = true;
  const auto start = [&] {
    runs = true;
    boost::asio::co_spawn(
        fleet.io, waker.run(fleet.stop.token()),
        boost::asio::bind_cancellation_slot(cancel_run.slot(), [&](std::exception_ptr) { runs = false; }));
  };
  int asleep = 0;
  const auto sleep = [&] {
    ++asleep;
    boost::asio::co_spawn(
        fleet.io,
        waker.sleep("proposals_for_consensus_queue", "centralcloud", std::chrono::seconds(60), fleet.stop.token()),
        boost::asio::bind_cancellation_slot(cancel_sleep.slot(), [&](std::exception_ptr, bool) { --asleep; }));
  };
  const auto raised = [&] {
    return fleet.psql("select count(*) from pg_locks where locktype = 'advisory' and classid = 1902672") == "1";
  };
  start();
  REQUIRE(run_until(fleet.io, [&] { return waker.listening(); }));
  sleep();
  REQUIRE(run_until(fleet.io, raised));
  cancel_sleep.emit(boost::asio::cancellation_type::terminal);
  CHECK(run_until(fleet.io, [&] { return asleep == 0 && !raised(); }));

  sleep();
  REQUIRE(run_until(fleet.io, raised));
  cancel_run.emit(boost::asio::cancellation_type::terminal);
  CHECK(run_until(fleet.io, [&] { return !runs && asleep == 0; }));
  CHECK_FALSE(waker.listening());
  start();
  REQUIRE(run_until(fleet.io, [&] { return waker.listening(); }));
  sleep();
  CHECK(run_until(fleet.io, raised));
  fleet.psql(R"(select quantumflow.publish('proposals_for_consensus_queue', '{"n": 1}'::text, null, 'k'))");
  CHECK(run_until(fleet.io, [&] { return asleep == 0; }));
  fleet.stop.request_soft();
  CHECK(run_until(fleet.io, [&] { return !runs; }));
}

TEST_CASE("waker: a poller that is cancelled is not relied on any more") {
  queue_fixture fleet("waker_poller_cancelled");
  quantumflow::waker alone(fleet.io.get_executor(), fleet.settings());
  boost::asio::cancellation_signal cancel;
  int looks = 0;
  bool polls = true;
  boost::asio::co_spawn(fleet.io, alone.poll(fleet.pool, fleet.stop.token(), [&] { ++looks; }),
                        boost::asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr) { polls = false; }));
  REQUIRE(run_until(fleet.io, [&] { return looks == 2; }));
  cancel.emit(boost::asio::cancellation_type::terminal);
  REQUIRE(run_until(fleet.io, [&] { return !polls; }));
  const auto began = std::chrono::steady_clock::now();
  auto sleep =
      alone.sleep("proposals_for_consensus_queue", "centralcloud", std::chrono::milliseconds(200), fleet.stop.token());
  run(fleet.io, std::move(sleep));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
}
