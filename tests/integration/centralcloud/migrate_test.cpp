#include "centralcloud_daemon/schema/migrate.hpp"

#include <catch2/catch.hpp>

#include "common/postgres/connection.hpp"
#include "common/quantumflow/schema_version.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet;
using namespace fleet::central;

namespace {

struct empty_database {
  explicit empty_database(const std::string& name) : name_(name) {
    settings.url = test::private_postgres::shared().create_database(name);
  }
  std::unique_ptr<postgres::connection> connect() { return test::run(io, postgres::connection::open(settings)); }
  std::string psql(const std::string& sql) const { return test::private_postgres::shared().psql(sql, name_); }

  boost::asio::io_context io;
  postgres::settings settings;

 private:
  std::string name_;
};

}  // namespace

TEST_CASE("migrate: makes the schema, and does nothing the second time") {
  empty_database with("migrate_twice");
  const auto connection = with.connect();
  const auto before = test::run(with.io, quantumflow::check_schema(*connection));
  REQUIRE_FALSE(before.has_value());
  CHECK_THAT(before.error().message, Catch::Contains("centralcloud_daemon migrate"));
  const auto first = test::run(with.io, schema::migrate(*connection));
  REQUIRE(first.has_value());
  CHECK(first->size() == sql::migrations().size());
  CHECK(sql::migrations().back().version == quantumflow::schema_version);
  const auto second = test::run(with.io, schema::migrate(*connection));
  REQUIRE(second.has_value());
  CHECK(second->empty());
  CHECK(test::run(with.io, quantumflow::check_schema(*connection)).has_value());
  for (const auto& each : test::run(with.io, schema::read_status(*connection)))
    CHECK(each.state == schema::migration_state::applied);
}

TEST_CASE("migrate: two at once do it once") {
  empty_database with("migrate_race");
  const auto one = with.connect();
  const auto other = with.connect();
  std::size_t applied = 0;
  int ended = 0;
  const auto work = [&](postgres::connection& on) -> boost::asio::awaitable<void> {
    const auto done = co_await schema::migrate(on);
    if (done) applied += done->size();
    ++ended;
  };
  boost::asio::co_spawn(with.io, work(*one), [](std::exception_ptr) {});
  boost::asio::co_spawn(with.io, work(*other), [](std::exception_ptr) {});
  REQUIRE(test::run_until(with.io, [&] { return ended == 2; }));
  CHECK(applied == sql::migrations().size());
}

TEST_CASE("migrate: waits a bounded time for another one") {
  empty_database with("migrate_wait");
  const auto holder = with.connect();
  const auto connection = with.connect();
  test::run(with.io, holder->run_script("select pg_advisory_lock(1902673)"));
  schema::migrate_options how;
  how.lock_wait = std::chrono::milliseconds(150);
  std::string said;
  how.say = [&](const std::string& line) { said += line; };
  const auto done = test::run(with.io, schema::migrate(*connection, std::move(how)));
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().kind == base::error_kind::timeout);
  CHECK_THAT(said, Catch::Contains("waiting"));
}

TEST_CASE("migrate: refuses a database that is newer, or made from other texts") {
  empty_database with("migrate_refuse");
  const auto connection = with.connect();
  REQUIRE(test::run(with.io, schema::migrate(*connection)).has_value());
  with.psql("insert into quantumflow.schema_migration (version, title, checksum) values (999, 'future', 'x')");
  const auto newer = test::run(with.io, schema::migrate(*connection));
  REQUIRE_FALSE(newer.has_value());
  CHECK(newer.error().kind == base::error_kind::conflict);
  CHECK_THAT(newer.error().message, Catch::Contains("999"));
  const auto fits = test::run(with.io, quantumflow::check_schema(*connection));
  REQUIRE_FALSE(fits.has_value());
  CHECK_THAT(fits.error().message, Catch::Contains("newer"));
  with.psql("delete from quantumflow.schema_migration where version = 999");
  with.psql("update quantumflow.schema_migration set checksum = 'x' where version = 1");
  const auto changed = test::run(with.io, schema::migrate(*connection));
  REQUIRE_FALSE(changed.has_value());
  CHECK_THAT(changed.error().message, Catch::Contains("another text"));
}

TEST_CASE("migrate: a migration that fails leaves nothing of itself") {
  empty_database with("migrate_fails");
  const auto connection = with.connect();
  const sql::migration broken[] = {{1, "good", "create table public.one (n int)"},
                                   {2, "broken", "create table public.two (n int); select no_such_function()"}};
  schema::migrate_options how;
  how.migrations = broken;
  CHECK_THROWS(test::run(with.io, schema::migrate(*connection, how)));
  const auto status = test::run(with.io, schema::read_status(*connection, broken));
  REQUIRE(status.size() == 2);
  CHECK(status[0].state == schema::migration_state::applied);
  CHECK(status[1].state == schema::migration_state::pending);
  CHECK(with.psql("select to_regclass('public.two') is null").substr(0, 1) == "t");
}
