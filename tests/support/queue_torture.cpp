#include "tests/support/queue_torture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <random>
#include <vector>

#include "common/postgres/connection.hpp"
#include "common/postgres/error.hpp"
#include "common/quantumflow/maintenance.hpp"
#include "tests/support/run.hpp"

namespace fleet::test {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;

// `truth` is written in the publisher's transaction and `handled` in the consumer's. A key's messages are published by
// one producer, one transaction after the other, so their numbers must be handled in rising order. Replies have no
// order.
constexpr const char* tables = R"(
create table truth (id text primary key, key text not null, n bigint not null);
create sequence handled_at;
create table handled (consumer_group text, id text, key text, n bigint, at bigint default nextval('handled_at'));
create function publish_one(id text, key text, n bigint) returns void language plpgsql as $$
begin
  insert into truth values (id, key, n);
  perform quantumflow.publish('torture_queue', jsonb_build_object('id', id, 'key', key, 'n', n));
end $$;
select quantumflow.declare_queue('torture_queue', 'lanes', '{key}', 3, 'a');
select quantumflow.subscribe('torture_queue', 'b');
select quantumflow.subscribe('torture_queue', 'c');
)";

constexpr const char* account_query = R"(
with expected as (select g.consumer_group, t.* from truth t, (values ('a'), ('b'), ('c')) g(consumer_group))
select (select count(*) from truth) as messages, (select count(*) from handled) as handled,
       (select count(*) from expected e where not exists (
          select from handled h where h.consumer_group = e.consumer_group and h.id = e.id)) as missing,
       (select count(*) from (select from handled group by consumer_group, id having count(*) > 1) d) as duplicate,
       (select count(*) from handled h where not exists (select from truth t where t.id = h.id)) as phantom,
       (select count(*) from (
          select n < lag(n) over (partition by consumer_group, key order by at) as wrong from handled where n > 0) o
         where wrong) as out_of_order,
       s.published_total, s.pending + s.retrying + s.dlq as left
  from quantumflow.get_queue_stats('torture_queue') s)";

// The first messages that were handled after a later one of their key.
constexpr const char* out_of_order_query = R"(
select string_agg(format('%s: key %s n %s after %s', consumer_group, key, n, before), '; ') as text from (
  select * from (
    select *, lag(n) over (partition by consumer_group, key order by at) as before from handled where n > 0) o
   where n < before order by at limit 5) first)";

class torture {
 public:
  explicit torture(torture_options how) : how_(std::move(how)) {}

  torture_account run() {
    fleet::test::run(io_, prepare());
    const auto begun = std::chrono::steady_clock::now();
    producing_still_ = how_.producers;
    for (int n = 0; n < how_.producers; ++n) start(produce(n));
    for (const char* group : {"a", "b", "c"})
      for (int n = 0; n < how_.consumers; ++n) start(consume(group, n));
    start(kill());
    start(rotate());
    run_until(
        io_, [&] { return std::chrono::steady_clock::now() - begun >= how_.duration; }, how_.duration * 2);
    producing_ = false;
    account_.drained = run_until(
        io_, [&] { return drained_; }, std::chrono::seconds(60));
    working_ = false;
    run_until(
        io_, [&] { return running_ == 0; }, std::chrono::seconds(30));
    fleet::test::run(io_, settle(), std::chrono::minutes(2));
    return account_;
  }

 private:
  void start(awaitable<void> work) {
    ++running_;
    boost::asio::co_spawn(io_, std::move(work), [this](std::exception_ptr) { --running_; });
  }
  double chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  int up_to(int most) { return std::uniform_int_distribution<int>(1, most)(random_); }
  awaitable<void> pause(double ms) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    timer.expires_after(std::chrono::microseconds(static_cast<std::int64_t>(ms * 1000)));
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
  postgres::settings session(const char* name) const {
    postgres::settings made;
    made.url = how_.url;
    made.application_name = name;
    return made;
  }

  awaitable<void> prepare() {
    auto connection = co_await postgres::connection::open(session("torture"));
    co_await connection->run_script(tables);
  }

  // ── Publishing ──

  awaitable<void> produce(int me) {
    std::int64_t n = 0;
    while (producing_) {
      bool lost = false;
      try {
        auto connection = co_await postgres::connection::open(session("torture-victim"));
        while (producing_) co_await one_publication(*connection, me, n);
      } catch (const std::exception&) {
        lost = true;
      }
      if (lost) ++account_.lost_connections;
      if (lost) co_await pause(10);
    }
    --producing_still_;
  }

  awaitable<void> one_publication(postgres::connection& connection, int me, std::int64_t& n) {
    const bool old_snapshot = chance() < 0.2;
    const std::string begin = old_snapshot ? "begin isolation level repeatable read" : "begin";
    co_await connection.run_script(begin);
    if (old_snapshot) co_await connection.query("select from quantumflow.segment");
    for (int left = up_to(4); left > 0; --left) {
      const bool save = chance() < 0.1;
      if (save) co_await connection.run_script("savepoint a");
      ++n;
      auto arguments = postgres::make_params(fmt::format("{}-{}", me, n), fmt::format("p{}", me), n);
      co_await connection.query("select publish_one($1, $2, $3)", std::move(arguments));
      const std::string end_savepoint = chance() < 0.5 ? "rollback to a" : "release a";
      if (save) co_await connection.run_script(end_savepoint);
      const double what = chance();
      if (what < 0.3) co_await pause(chance() * 20);
      if (what > 0.99) co_await pause(chance() * 1500);
    }
    const bool abort = chance() < 0.15;
    const std::string end = abort ? "rollback" : "commit";
    co_await connection.run_script(end);
    ++(abort ? account_.rolled_back : account_.committed);
  }

  // ── Consuming ──

  awaitable<void> consume(std::string group, int me) {
    while (working_) {
      bool lost = false;
      try {
        auto connection = co_await postgres::connection::open(session("torture-victim"));
        while (working_) {
          const auto taken = co_await one_batch(*connection, group);
          if (taken == 0) co_await pause(5);
          // So far behind that its messages must go to the backlog.
          const bool absent = group == "c" && producing_ && me == 0 && chance() < 0.02;
          if (absent) absent_until_ = std::chrono::steady_clock::now() + milliseconds(2500);
          while (group == "c" && producing_ && std::chrono::steady_clock::now() < absent_until_) co_await pause(50);
        }
      } catch (const std::exception&) {
        lost = true;
      }
      if (lost) ++account_.lost_connections;
      if (lost) co_await pause(10);
    }
  }

  awaitable<std::size_t> one_batch(postgres::connection& connection, const std::string& group) {
    co_await connection.run_script("begin");
    const bool own_xid = chance() < 0.3;  // assigned before the window is taken
    if (own_xid) co_await connection.query("select pg_current_xact_id()");
    const bool alone = chance() < 0.15;
    auto arguments = postgres::make_params(group, alone ? 1 : up_to(40));
    const auto batch = co_await connection.query(
        "select message_id, body::jsonb ->> 'id' as id, body::jsonb ->> 'key' as key, (body::jsonb ->> 'n')::bigint as "
        "n"
        "  from quantumflow.take_lane('torture_queue', $1, $2::int)",
        std::move(arguments));
    const bool fails = alone && batch.size() == 1 && chance() < 0.3;
    for (const auto& row : batch) {
      if (fails) {
        auto failed = postgres::make_params(row.get<std::int64_t>("message_id"));
        co_await connection.query("select quantumflow.fail($1, 'unlucky', 100, 5)", std::move(failed));
      } else {
        co_await handle(connection, group, row.get<std::string>("id"), row.get<std::string>("key"),
                        row.get<std::int64_t>("n"));
      }
    }
    const bool give_back = chance() < 0.05;
    const std::string end = give_back ? "rollback" : "commit";
    co_await connection.run_script(end);
    if (fails && !give_back) ++account_.failed;
    co_return batch.size();
  }

  awaitable<void> handle(postgres::connection& connection, std::string group, std::string id, std::string key,
                         std::int64_t n) {
    auto arguments = postgres::make_params(group, id, key, n);
    co_await connection.query("insert into handled (consumer_group, id, key, n) values ($1, $2, $3, $4)",
                              std::move(arguments));
    const bool answers = group == "a" && n > 0 && chance() < 0.1;
    if (answers) {
      auto reply = postgres::make_params(id + "r", fmt::format("r{}", up_to(5)));
      co_await connection.query("select publish_one($1, $2, 0)", std::move(reply));
      ++account_.republished;
    }
    const double what = chance();
    if (what < 0.03) co_await pause(chance() * 10);
  }

  // ── What disturbs them ──

  awaitable<void> kill() {
    auto connection = co_await postgres::connection::open(session("torture-killer"));
    while (producing_) {
      co_await connection->query(
          "select pg_terminate_backend(pid) from pg_stat_activity"
          " where application_name = 'torture-victim' and datname = current_database() order by random() limit 1");
      ++account_.killed;
      co_await pause(50 + chance() * 200);
    }
  }

  awaitable<void> rotate() {
    auto connection = co_await postgres::connection::open(session("torture-keeper"));
    quantumflow::maintenance_settings settings;
    settings.lock_timeout = milliseconds(50);
    const double seconds = std::chrono::duration<double>(how_.rotation_interval).count();
    while (working_) {
      co_await quantumflow::trim_positions(*connection);
      auto move = postgres::make_params(seconds);
      const auto moved = co_await connection->query(
          "select quantumflow.move_laggards(make_interval(secs => $1), 300, 50) as n", std::move(move));
      account_.moved_to_backlog += moved.single().get<int>("n");
      auto turn = postgres::make_params(seconds);
      co_await connection->query("select quantumflow.count_messages()");
      co_await connection->query("select from quantumflow.rotate(make_interval(secs => $1), 1000000, 50)",
                                 std::move(turn));
      // Asked before the look: a producer's last transaction may still be open when no new one is begun.
      const bool all_published = producing_still_ == 0;
      const auto found = co_await connection->query(
          "select s.pending + s.retrying as left from quantumflow.get_queue_stats('torture_queue') s");
      drained_ = all_published && found.single().get<std::int64_t>("left") == 0;
      co_await pause(std::chrono::duration<double, std::milli>(how_.rotation_interval).count() / 2);
    }
  }

  awaitable<void> settle() {
    auto connection = co_await postgres::connection::open(session("torture"));
    co_await connection->run_script("analyze truth; analyze handled");
    postgres::params none;
    const auto answer = co_await connection->query(account_query, std::move(none), std::chrono::minutes(1));
    const auto& row = answer.single();
    account_.messages = row.get<std::int64_t>("messages");
    account_.handled = row.get<std::int64_t>("handled");
    account_.missing = row.get<std::int64_t>("missing");
    account_.duplicate = row.get<std::int64_t>("duplicate");
    account_.phantom = row.get<std::int64_t>("phantom");
    account_.out_of_order = row.get<std::int64_t>("out_of_order");
    account_.published_total = row.get<std::int64_t>("published_total");
    account_.left = row.get<std::int64_t>("left");
    if (account_.out_of_order > 0) {
      const auto late = co_await connection->query(out_of_order_query);
      account_.late = late.single().get<std::string>("text");
    }
    const auto cut = co_await connection->query("select count(*) as n from quantumflow.message");
    account_.truncated = account_.published_total - cut.single().get<std::int64_t>("n");
  }

  torture_options how_;
  torture_account account_;
  boost::asio::io_context io_;
  std::mt19937 random_{how_.seed};
  std::chrono::steady_clock::time_point absent_until_{};
  int running_ = 0;
  int producing_still_ = 0;
  bool producing_ = true;
  bool working_ = true;
  bool drained_ = false;
};

}  // namespace

std::string torture_account::text() const {
  return fmt::format(
      "transactions {} committed, {} rolled back; {} kills, {} connections lost; {} replies, {} failures; {} messages "
      "truncated, {} moved to backlogs | {} messages, {} handled by {} groups, published_total {}, left {}, drained {} "
      "| "
      "missing {} duplicate {} phantom {} out of order {} {}",
      committed, rolled_back, killed, lost_connections, republished, failed, truncated, moved_to_backlog, messages,
      handled, groups, published_total, left, drained, missing, duplicate, phantom, out_of_order, late);
}

torture_account torture_queue(torture_options how) {
  return torture(std::move(how)).run();
}

}  // namespace fleet::test
