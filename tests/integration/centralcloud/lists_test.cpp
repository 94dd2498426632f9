// The lists of `centralcloud_daemon`: none stops without a word.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <string>

#include "tests/support/daemons.hpp"
#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet;

namespace {

struct command_result {
  int code = 0;
  std::string out;
  std::string err;
};

command_result run_command(const std::string& arguments, const std::string& url) {
  const std::string mark = "\n== exit ";
  const auto text = test::shell("err=$(mktemp); '" + test::daemon_binary("centralcloud_daemon") + "' " + arguments +
                                " --database.url '" + url + "' 2> \"$err\"; printf '" + mark +
                                "%s\\n' $?; cat \"$err\"; rm \"$err\"");
  const auto at = text.find(mark);
  const auto code = at + mark.size();
  const auto err = text.find('\n', code);
  return {std::atoi(text.c_str() + code), text.substr(0, at), err == text.npos ? "" : text.substr(err + 1)};
}

/// Rows of a table, without the titles.
std::ptrdiff_t rows_of(const std::string& table) {
  return std::count(table.begin(), table.end(), '\n') - 1;
}

/// 101 of everything that is listed: one more than a list shows unasked.
std::string database_with_long_lists() {
  const std::string name = "long_lists";
  const auto url = test::fleet_database(name);
  test::private_postgres::shared().psql(R"(
    select count(centralcloud.heartbeat('instance-' || n, '1', '{voter}')::text),
           count(quantumflow.publish('learning_loop_completed_queue', jsonb_build_object('n', n))),
           count(centralcloud.observe_alert('a_test', 'subject ' || n, 'low', 'text', 1, 0))
      from generate_series(1, 101) n;
    insert into centralcloud.proposal (proposal_id, instance_id, agent_type, body)
    select 'p' || n, 'instance-1', 'BugFixerAgent', '{}' from generate_series(1, 101) n;
    insert into centralcloud.pattern (pattern_id, pattern_type, code_pattern, code)
    select 'p' || n, 'refactoring', '{}', '' from generate_series(1, 101) n;
    insert into quantumflow.dead_letter (cursor_id, xid, msg_id, enqueued_at, body, attempts, reason, errors)
    select cursor_id, '1', n, now(), '{}', 1, 'rejected', '[{"error": "why"}]'
      from generate_series(1, 101) n, quantumflow.reader where queue_name = 'patterns_for_aggregator_queue';
    select centralcloud.audit('somebody', 'something', null, '{}') from generate_series(1, 101))",
                                        name);
  return url;
}

}  // namespace

TEST_CASE("lists: a list that does not show all says so, and --max shows more") {
  const auto url = database_with_long_lists();
  for (const std::string list : {"instances", "pending learning_loop_completed_queue", "dlq list", "proposals",
                                 "proposals --status voting", "alerts", "patterns", "audit list"}) {
    INFO(list);
    const auto usual = run_command(list, url);
    INFO(usual.out << usual.err);
    CHECK(usual.code == 0);
    CHECK(rows_of(usual.out) == 100);
    CHECK(usual.err == "the first 100; more with --max");

    const auto few = run_command(list + " --max 2", url);
    CHECK(rows_of(few.out) == 2);
    CHECK(few.err == "the first 2; more with --max");

    const auto all = run_command(list + " --max 1000", url);
    CHECK(rows_of(all.out) >= 101);
    CHECK(all.err.empty());
    const auto exactly = run_command(fmt::format("{} --max {}", list, rows_of(all.out)), url);
    CHECK(rows_of(exactly.out) == rows_of(all.out));
    CHECK(exactly.err.empty());
  }
}

TEST_CASE("lists: JSON has what was asked for and nothing beside it") {
  const auto url = database_with_long_lists();
  for (const std::string list : {"instances", "pending learning_loop_completed_queue", "dlq list", "proposals",
                                 "alerts", "patterns", "audit list"}) {
    INFO(list);
    const auto few = run_command(list + " --json --max=2", url);
    CHECK(boost::json::parse(few.out).as_array().size() == 2);
    CHECK(few.err.empty());
    CHECK(boost::json::parse(run_command(list + " --json", url).out).as_array().size() == 100);
    CHECK(boost::json::parse(run_command(list + " --json --max 101", url).out).as_array().size() == 101);
  }
}

TEST_CASE("lists: --max is a number within bounds, in help and in errors") {
  const std::string nowhere = "postgresql:///nowhere?host=/nowhere";
  for (const std::string list :
       {"instances", "pending q", "dlq list", "proposals", "alerts", "patterns", "audit list"}) {
    INFO(list);
    CHECK_THAT(run_command(list + " --help", nowhere).out,
               Catch::Contains("--max N") && Catch::Contains("up to 10000; 100 otherwise"));
    for (const std::string wrong : {"0", "10001", "5x"}) {
      const auto refused = run_command(list + " --max=" + wrong, nowhere);
      CHECK(refused.code == 2);
      CHECK_THAT(refused.err, Catch::Contains("--max: expected a number from 1 to 10000"));
    }
  }
}
