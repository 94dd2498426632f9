#include "common/postgres/connection.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace std::chrono_literals;
using boost::asio::awaitable;
using fleet::postgres::connection;
using fleet::postgres::make_params;
using fleet::postgres::rows;
using fleet::postgres::settings;
using fleet::postgres::sql_error;
using fleet::postgres::sql_kind;
using fleet::test::private_postgres;

namespace {

settings to(std::string url) {
  settings how;
  how.url = std::move(url);
  how.application_name = "tests";
  return how;
}

/// A session on the shared server, and the loop it lives on.
struct session {
  explicit session(settings how = to(private_postgres::shared().url())) : db(run(connection::open(how))) {}
  template <class T>
  T run(awaitable<T> work) {
    return fleet::test::run(io, std::move(work));
  }
  rows query(std::string sql, fleet::postgres::params values = {},
             std::optional<std::chrono::milliseconds> limit = {}) {
    return run(db->query(std::move(sql), std::move(values), limit));
  }
  sql_error failure_of(std::string sql, fleet::postgres::params values = {},
                       std::optional<std::chrono::milliseconds> limit = {}) {
    try {
      query(sql, std::move(values), limit);
    } catch (const sql_error& error) {
      return error;
    }
    throw std::runtime_error("no failure: " + sql);
  }

  boost::asio::io_context io;
  std::unique_ptr<connection> db;
};

sql_error open_failure(const settings& how) {
  try {
    session never(how);
  } catch (const sql_error& error) {
    return error;
  }
  throw std::runtime_error("connected to " + how.url);
}

/// Accepts connections (by its backlog) and never says a word.
struct silent_server {
  silent_server() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(fd, generic, size) == 0);
    REQUIRE(::listen(fd, 16) == 0);
    REQUIRE(::getsockname(fd, generic, &size) == 0);
    port = ::ntohs(address.sin_port);
  }
  ~silent_server() { ::close(fd); }
  int fd;
  int port = 0;
};

}  // namespace

TEST_CASE("connection: every type goes there and back") {
  session on;
  const auto time = *fleet::base::parse_rfc3339("2026-01-31T12:00:00.123456Z");
  const boost::json::object json{{"text", "a\"b\\c\n ü"}, {"list", boost::json::array{1, nullptr}}};
  const std::vector<std::string> texts = {"a\"b", "c\\d", "{e,f}", "", "NULL", "ü"};
  const auto got = on.query(
      "select $1::bigint i, $2::text t, $3::boolean b, $4::float8 d, $5::numeric n, $6::timestamptz z, $7::jsonb j,"
      " $8::text[] ts, $9::bigint[] ns, $10::text nothing, $6::timestamptz::timestamp plain",
      make_params(std::int64_t{-5}, "t'x", true, 0.1, *fleet::base::decimal::parse("0.850001"), time, json, texts,
                  std::vector<std::int64_t>{1, -2}, std::nullopt));
  const auto row = got.single();
  CHECK(row.get<std::int64_t>("i") == -5);
  CHECK(row.get<std::string>("t") == "t'x");
  CHECK(row.get<bool>("b"));
  CHECK(row.get<double>("d") == 0.1);
  CHECK(row.get<fleet::base::decimal>("n").millionths() == 850'001);
  CHECK(row.get<fleet::base::timestamp>("z") == time);
  CHECK(row.get<fleet::base::timestamp>("plain") == time);
  CHECK(row.get<boost::json::object>("j") == json);
  CHECK(row.get<std::vector<std::string>>("ts") == texts);
  CHECK(row.get<std::vector<std::int64_t>>("ns") == std::vector<std::int64_t>{1, -2});
  CHECK_FALSE(row.get<std::optional<std::string>>("nothing"));
}

TEST_CASE("connection: the session is set up, and large parameters and results pass") {
  session on;
  const auto row = on.query(
                         "select current_setting('timezone') tz, current_setting('client_encoding') enc,"
                         " current_setting('statement_timeout') st, current_setting('application_name') app,"
                         " current_setting('idle_in_transaction_session_timeout') idle")
                       .single();
  CHECK(row.get<std::string>("tz") == "UTC");
  CHECK(row.get<std::string>("enc") == "UTF8");
  CHECK(row.get<std::string>("st") == "10s");
  CHECK(row.get<std::string>("app") == "tests");
  CHECK(row.get<std::string>("idle") == "1min");
  const std::string large(8'000'000, 'x');
  CHECK(on.query("select $1::text || 'y' as t", make_params(large)).single().text("t").size() == large.size() + 1);
}

TEST_CASE("connection: either end notices within half a minute that the other is gone without a word") {
  session on(to(private_postgres::shared().tcp_url()));
  CHECK(on.query("show tcp_keepalives_idle").single().get<std::string>(0) == "15");
  CHECK(on.query("show tcp_user_timeout").single().get<std::string>(0) == "20000");
}

TEST_CASE("connection: statement failures have their kind and leave the connection usable") {
  session on;
  on.run(on.db->run_script("create temp table t (id int primary key, v int not null); insert into t values (1, 1)"));
  CHECK(on.failure_of("insert into t values (1, 1)").kind() == sql_kind::constraint);
  CHECK(on.failure_of("select * from no_such_table").kind() == sql_kind::undefined);
  CHECK(on.failure_of("select $1::int", make_params("x")).kind() == sql_kind::invalid_input);
  CHECK(on.failure_of("selec 1").sqlstate() == "42601");
  CHECK(on.failure_of("do $$ begin raise exception 'no' using hint = 'h'; end $$").hint() == "h");
  CHECK(on.db->usable());
  CHECK(on.query("insert into t values (2, 2), (3, 3)").affected() == 2);
}

TEST_CASE("connection: the server's statement timeout is a timeout on a usable connection") {
  auto how = to(private_postgres::shared().url());
  how.statement_timeout = 100ms;
  session on(how);
  const auto error = on.failure_of("select pg_sleep(30)");
  CHECK(error.kind() == sql_kind::timeout);
  CHECK(error.sqlstate() == "57014");
  CHECK(on.db->usable());
  // A longer limit for one statement, and the session's again for the next.
  on.query("select pg_sleep(0.3)", {}, 5s);
  CHECK(on.query("show statement_timeout").single().get<std::string>(0) == "100ms");
}

TEST_CASE("connection: a shorter deadline is kept by the client; the connection is dropped, a new one works") {
  session on;
  const auto error = on.failure_of("select pg_sleep(30)", {}, 100ms);
  CHECK(error.kind() == sql_kind::timeout);
  CHECK(error.doing().find("pg_sleep") != std::string::npos);
  CHECK_FALSE(on.db->usable());
  CHECK(on.failure_of("select 1").kind() == sql_kind::connection_lost);
  on.db = on.run(connection::open(to(private_postgres::shared().url())));
  CHECK(on.query("select 1 as one").single().get<int>("one") == 1);
}

TEST_CASE("connection: being terminated during a statement is a lost connection") {
  session on;
  session other;
  boost::asio::co_spawn(
      on.io,
      [&]() -> awaitable<void> {
        auto second = co_await connection::open(to(private_postgres::shared().url()));
        co_await second->query("select pg_terminate_backend($1::int) from (select pg_sleep(0.1)) s",
                               make_params(on.db->backend_pid()));
      },
      boost::asio::detached);
  const auto error = on.failure_of("select pg_sleep(8)");
  CHECK(error.kind() == sql_kind::connection_lost);
  CHECK_FALSE(on.db->usable());
}

TEST_CASE("connection: one that was hung up on while idle is noticed without a statement") {
  session on;
  CHECK(on.db->check_alive());
  private_postgres::shared().psql("select pg_terminate_backend(" + std::to_string(on.db->backend_pid()) + ")");
  CHECK(fleet::test::run_until(on.io, [&] { return !on.db->check_alive(); }));
}

TEST_CASE("connection: a dead first host is passed over, whether it refuses or stays silent") {
  const auto& server = private_postgres::shared();
  const silent_server silent;
  for (const int dead : {1, silent.port}) {
    auto how = to("postgresql://postgres:secret@127.0.0.1:" + std::to_string(dead) +
                  ",127.0.0.1:" + std::to_string(server.port()) + "/postgres?target_session_attrs=read-write");
    how.connect_timeout = 500ms * fleet::test::patience();
    session on(how);
    CHECK(on.db->server() == "127.0.0.1:" + std::to_string(server.port()));
  }
}

TEST_CASE("connection: a single silent host is a timeout, a refusing one a lost connection") {
  const silent_server silent;
  auto how = to("postgresql://127.0.0.1:" + std::to_string(silent.port) + "/x");
  how.connect_timeout = 100ms;
  CHECK(open_failure(how).kind() == sql_kind::timeout);
  CHECK(open_failure(to("postgresql://127.0.0.1:1/x")).kind() == sql_kind::connection_lost);
}

TEST_CASE("connection: SCRAM lets in with the password and refuses without; a missing database is told") {
  auto& server = private_postgres::shared();
  server.psql("drop role if exists scram_user; create role scram_user login password 'right'");
  session on(to(server.tcp_url("postgres", "scram_user", "right")));
  CHECK(on.query("select current_user::text as who").single().get<std::string>("who") == "scram_user");
  const auto refused = open_failure(to(server.tcp_url("postgres", "scram_user", "wrong")));
  CHECK(refused.kind() == sql_kind::permission);
  CHECK(std::string(refused.what()).find("wrong") == std::string::npos);
  CHECK(open_failure(to(server.url("no_such_database"))).kind() == sql_kind::undefined);
}

TEST_CASE("connection: statements are prepared once, up to a bound, and survive a change of their result") {
  session on;
  on.run(on.db->run_script("create temp table p (a int); insert into p values (1)"));
  for (int i = 0; i < 3; ++i) CHECK(on.query("select * from p").size() == 1);
  const std::string count = "select count(*) as n from pg_prepared_statements";
  CHECK(on.query(count).single().get<int>("n") == 2);
  on.run(on.db->run_script("alter table p add b int"));
  CHECK(on.query("select * from p").single().columns() == 2);
  for (int i = 0; i < 250; ++i) on.query("select " + std::to_string(i));
  CHECK(on.query(count).single().get<int>("n") == 200);

  auto how = to(private_postgres::shared().url());
  how.prepare = false;
  session plain(how);
  plain.query("select 1");
  CHECK(plain.query(count).single().get<int>("n") == 0);
}

TEST_CASE("connection: a script runs as one transaction, and its first failure is told") {
  session on;
  on.query("create temp table s (x int)");
  CHECK_THROWS_AS(on.run(on.db->run_script("insert into s values (1); select 1/0; insert into s values (2)")),
                  sql_error);
  CHECK(on.query("select * from s").empty());
  CHECK(on.db->usable());
  CHECK_THROWS_AS(on.run(on.db->run_script("copy s from stdin")), sql_error);
  CHECK_FALSE(on.db->usable());
}

TEST_CASE("connection: notifications come with a result and while waiting") {
  session on;
  on.run(on.db->run_script("listen c; notify c, 'own'"));
  const auto own = on.db->take_notifications();
  REQUIRE(own.size() == 1);
  CHECK(own.front().payload == "own");
  private_postgres::shared().psql("notify c, 'other'");
  on.run(on.db->wait_notification(10s));
  const auto other = on.db->take_notifications();
  REQUIRE(other.size() == 1);
  CHECK(other.front().channel == "c");
  CHECK(other.front().payload == "other");
  on.run(on.db->wait_notification(10ms));
  CHECK(on.db->take_notifications().empty());
  CHECK(on.query("select 1").size() == 1);
}
