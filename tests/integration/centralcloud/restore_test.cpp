#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "common/quantumflow/schema_version.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet;

namespace {

// A bit of everything that may be pending: read in part, being retried and waiting behind a retry, dead, in a backlog,
// read by nobody yet, sent to one instance, and read by all.
constexpr const char* pending_work = R"(
set search_path to quantumflow, public;
create table public.ballast (n int);
do $$ begin for i in 1..3000 loop insert into public.ballast values (i); commit; end loop; end $$;
select subscribe('voting_requests_queue', 'slow');
select subscribe('voting_requests_queue', 'fast');
do $$ begin
  for n in 1..6 loop
    perform publish('patterns_for_aggregator_queue', jsonb_build_object('n', n, 'code_pattern', jsonb_build_object('after', n % 2)));
    perform publish('voting_requests_queue', jsonb_build_object('n', n));
    perform publish('learning_loop_completed_queue', jsonb_build_object('n', n));
    perform publish('rollback_triggers_queue', jsonb_build_object('n', n), 'far');
    commit;
  end loop;
end $$;
begin; select take('voting_requests_queue', 'fast'); commit;
begin; select take('voting_requests_queue', 'slow', 1); commit;
begin; select take('rollback_triggers_queue', 'far', 2); commit;
begin;
create temp table batch on commit drop as select * from take('patterns_for_aggregator_queue', 'centralcloud', 3);
select fail((select message_id from batch where payload ->> 'n' = '1'), 'boom', 3, 1);
select reject((select message_id from batch where payload ->> 'n' = '2'), 'bad');
commit;
select count(*) from rotate('0 s');
select count(*) from rotate('0 s');
select move_laggards('0 s', 4);
select publish('voting_requests_queue', '{"n": 7}');
select tick_xid_clock();
)";

// All that a group gets, in the order in which it does.
constexpr const char* take_all = R"(
create or replace function public.take_all(queue text, who text) returns text language plpgsql as $$
declare seen text; all_seen text := '';
begin
  for i in 1..20 loop
    select string_agg(payload ->> 'n', ' ') into seen from quantumflow.take(queue, who, 100);
    all_seen := concat_ws(' ', nullif(all_seen, ''), seen);
  end loop;
  return all_seen;
end $$;
)";

int shell_code(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// With psql, each statement in a transaction of its own.
void run_script(const std::string& url, const std::string& sql) {
  REQUIRE(shell_code("psql -X -q -v ON_ERROR_STOP=1 '" + url + "' > /dev/null << 'END_OF_SQL'\n" + sql +
                     "\nEND_OF_SQL\n") == 0);
}

void check_restored(int ballast) {
  auto& from = test::private_postgres::shared();
  test::private_postgres to;
  const auto source = test::fleet_database("restore_source");
  run_script(source, pending_work);
  const auto target = to.create_database("restored");
  // The other cluster's xids are behind, or ahead.
  run_script(target,
             "create table ballast (n int);\n"
             "do $$ begin for i in 1.." +
                 std::to_string(ballast) +
                 " loop insert into ballast values (i); commit; end loop; end $$;\ndrop table ballast;");
  // Roles belong to a cluster: no dump of a database has them.
  REQUIRE(shell_code("psql -X -q -v migrator=postgres '" + target + "' -f " FLEET_SOURCE_DIR "/sql/roles.sql") == 0);
  REQUIRE(shell_code("pg_dump '" + source + "' | psql -X -q -v ON_ERROR_STOP=1 '" + target + "' > /dev/null") == 0);

  boost::asio::io_context io;
  postgres::settings settings;
  settings.url = target;
  const auto connection = test::run(io, postgres::connection::open(settings));
  const auto refused = test::run(io, quantumflow::check_schema(*connection));
  REQUIRE_FALSE(refused.has_value());
  CHECK_THAT(refused.error().message, Catch::Contains("centralcloud_daemon migrate --rebase"));
  const auto daemon = "'" + test::daemon_binary("centralcloud_daemon") + "' ";
  const auto where = " --database.url '" + target + "' > /dev/null 2>&1";
  CHECK(shell_code("timeout 20 " + daemon + "run --http.listen 127.0.0.1:0" + where) == 2);
  const auto stats = [&](const test::private_postgres& at, const std::string& database) {
    return at.psql(
        "select queue_name, pending, retrying, dlq, published_total, consumed_total from quantumflow.list_queues()",
        database);
  };
  const auto before = stats(from, "restore_source");

  CHECK(shell_code(daemon + "migrate --rebase" + where) == 0);
  CHECK(test::run(io, quantumflow::check_schema(*connection)).has_value());
  CHECK(stats(to, "restored") == before);
  CHECK(to.psql("select quantumflow.rebase()", "restored") == "0");
  CHECK(from.psql("select count(*) from quantumflow.xid_clock", "restore_source") == "1");
  // Ages told by the other cluster's transactions would be wrong here.
  CHECK(to.psql("select count(*) from quantumflow.xid_clock", "restored") == "0");
  to.psql(
      "select quantumflow.publish('voting_requests_queue', '{\"n\": 8}');"
      "select quantumflow.publish('rollback_triggers_queue', '{\"n\": 7}', 'far')",
      "restored");
  to.psql(take_all, "restored");
  const auto all_of = [&](const std::string& queue, const std::string& group) {
    return to.psql("select public.take_all('" + queue + "', '" + group + "')", "restored");
  };
  CHECK(all_of("voting_requests_queue", "slow") == "2 3 4 5 6 7 8");
  CHECK(all_of("voting_requests_queue", "fast") == "7 8");
  CHECK(all_of("rollback_triggers_queue", "far") == "3 4 5 6 7");
  CHECK(all_of("patterns_for_aggregator_queue", "centralcloud") == "1 4 5 6");
  to.psql("select quantumflow.subscribe('learning_loop_completed_queue', 'first')", "restored");
  CHECK(all_of("learning_loop_completed_queue", "first") == "1 2 3 4 5 6");
  const auto dead =
      to.psql("select quantumflow.retry_dlq_message(id) from quantumflow.list_dlq_messages()", "restored");
  CHECK_FALSE(dead.empty());
  CHECK(all_of("patterns_for_aggregator_queue", "centralcloud") == "2");
}

}  // namespace

TEST_CASE(
    "restore: a dump restored into a cluster whose xids are behind is refused, and complete after migrate --rebase") {
  check_restored(1);
}

TEST_CASE(
    "restore: a dump restored into a cluster whose xids are ahead is refused, and complete after migrate --rebase") {
  check_restored(20000);
}
