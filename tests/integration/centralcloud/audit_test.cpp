// The audit log under many writers, and under somebody who may do everything: `audit verify` says what was touched, and
// where.
#include <fmt/format.h>

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
  std::string output;
};

command_result run_command(const std::string& arguments, const std::string& url) {
  const auto text = test::shell("'" + test::daemon_binary("centralcloud_daemon") + "' " + arguments +
                                " --database.url '" + url + "' 2>&1; echo \"exit $?\"");
  const auto at = text.rfind("exit ");
  return {std::atoi(text.c_str() + at + 5), text.substr(0, at)};
}

struct report {
  int code = 0;
  boost::json::object body;
  /// "problem chain/seq" of every finding.
  std::string findings() const {
    std::string all;
    for (const auto& each : body.at("findings").as_array()) {
      const auto& one = each.as_object();
      all += (all.empty() ? "" : ", ") + std::string(one.at("problem").as_string());
      if (one.contains("seq"))
        all += fmt::format(" {}/{}", one.at("chain").as_int64(), one.at("seq").as_int64());
      else if (one.contains("proposal_id"))
        all += " " + std::string(one.at("proposal_id").as_string());
    }
    return all;
  }
};

report verify(const std::string& url, const std::string& options = "") {
  const auto result = run_command("audit verify --json " + options, url);
  INFO(result.output);
  return {result.code, boost::json::parse(result.output).as_object()};
}

/// A log with entries 1/1 … 1/6 beyond what the schema's making left there, and a seal of 1/5.
class written_log {
 public:
  explicit written_log(const std::string& database) : name(database), url(test::fleet_database(database)) {
    first = std::stoi(psql("select coalesce(max(seq), 0) from centralcloud.audit_log where chain = 1"));
    psql(
        "select centralcloud.receive_proposal('{\"proposal_id\": \"p\", \"instance_id\": \"a\", \"agent_type\": "
        "\"T\"}')");
    for (int i = 0; i < 4; ++i) psql(fmt::format("select centralcloud.audit('me', 'test {}', 'p', null)", i));
    head = psql("select head from centralcloud.seal_audit('0')");
    psql("select centralcloud.audit('me', 'after the seal', 'p', null)");
  }
  std::string psql(const std::string& sql) const { return test::private_postgres::shared().psql(sql, name); }
  /// As a superuser who knows what stands in the way.
  void tamper(const std::string& sql) const {
    psql("begin; alter table centralcloud.audit_log disable trigger append_only; " + sql + "; commit");
  }
  std::string at(int n) const { return std::to_string(first + n); }
  /// An update that leaves a right hash behind.
  void rewrite(int n) const {
    tamper(fmt::format(
        "update centralcloud.audit_log set actor = 'nobody' where chain = 1 and seq = {0}; "
        "update centralcloud.audit_log l set hash = centralcloud.audit_hash(l) where chain = 1 and seq = {0}",
        at(n)));
  }

  std::string name;
  std::string url;
  std::string head;
  int first = 0;
};

}  // namespace

TEST_CASE("audit: many writers at once, some of which roll back, leave whole chains") {
  const std::string database = "audit_writers";
  const auto url = test::fleet_database(database);
  auto& server = test::private_postgres::shared();
  const auto before = std::stoi(server.psql("select count(*) from centralcloud.audit_log", database));
  constexpr int writers = 10;
  constexpr int transactions = 40;
  std::string script;
  for (int i = 0; i < writers; ++i) {
    script += fmt::format(
        "printf \"select format('begin; select centralcloud.audit(''w{0}'', ''test'', ''p%%s'', null); "
        "select pg_sleep(0.002); select centralcloud.audit(''w{0}'', ''test'', null, null); %%s', n, "
        "case when n %% 5 = 0 then 'rollback' else 'commit' end), 'select centralcloud.seal_audit(''0'')' "
        "from generate_series(1, {1}) n \\\\gexec\" | psql -X -q -v ON_ERROR_STOP=1 '{2}' > /dev/null & p{0}=$!; ",
        i, transactions, url);
  }
  for (int i = 0; i < writers; ++i) script += fmt::format("wait $p{} || exit 1; ", i);
  test::shell(script);
  const auto found = verify(url);
  INFO(found.findings());
  CHECK(found.code == 0);
  CHECK(found.body.at("intact") == true);
  CHECK(found.body.at("entries") == before + writers * transactions * 2 * 4 / 5);
  // They did not wait for each other.
  CHECK(found.body.at("chains").as_int64() >= 3);
  CHECK(found.body.at("seals").as_int64() >= 10);
}

TEST_CASE("audit: what a superuser changed, removed or put in another order is found, and where") {
  SECTION("nothing") {
    const written_log log("audit_tamper");
    const auto found = verify(log.url, "--head " + log.head);
    CHECK(found.code == 0);
    CHECK(found.body.at("head").as_string() == log.head);
    CHECK(found.body.at("entries_since_seal") == 1);
    const auto told = run_command("audit verify", log.url);
    CHECK_THAT(told.output, Catch::Contains("intact: ") && Catch::Contains("head " + log.head));
  }
  SECTION("an entry changed, with its hash left as it was") {
    const written_log log("audit_tamper");
    log.tamper("update centralcloud.audit_log set actor = 'nobody' where chain = 1 and seq = " + log.at(2));
    const auto found = verify(log.url);
    CHECK(found.code == 1);
    CHECK(found.findings() == "changed 1/" + log.at(2));
    const auto told = run_command("audit verify", log.url);
    CHECK(told.code == 1);
    CHECK_THAT(told.output, Catch::Contains("NOT intact") && Catch::Contains("its content does not give its hash"));
  }
  SECTION("an entry changed, and its hash made anew") {
    const written_log log("audit_tamper");
    log.rewrite(3);
    CHECK(verify(log.url).findings() == "replaced 1/" + log.at(4));
  }
  SECTION("the last entry that a seal has seen changed, and its hash and what follows made anew") {
    const written_log log("audit_tamper");
    log.rewrite(5);
    log.tamper(
        fmt::format("update centralcloud.audit_log l set previous = (select hash from centralcloud.audit_log where "
                    "chain = 1 and seq = {1}) where chain = 1 and seq = {0}; update centralcloud.audit_log l set "
                    "hash = centralcloud.audit_hash(l) where chain = 1 and seq = {0}",
                    log.at(6), log.at(5)));
    CHECK(verify(log.url).findings() == "replaced 1/" + log.at(5));
  }
  SECTION("entries removed from the middle") {
    const written_log log("audit_tamper");
    log.tamper(
        fmt::format("delete from centralcloud.audit_log where chain = 1 and seq in ({}, {})", log.at(2), log.at(3)));
    CHECK(verify(log.url).findings() == "removed 1/" + log.at(4));
  }
  SECTION("entries removed from the end, as far as a seal has seen them") {
    const written_log log("audit_tamper");
    log.tamper("delete from centralcloud.audit_log where chain = 1 and seq >= " + log.at(4));
    CHECK(verify(log.url).findings() == "removed 1/" + log.at(5));
  }
  SECTION("the end and the seal removed: the head that was noted is missing") {
    const written_log log("audit_tamper");
    log.tamper("delete from centralcloud.audit_log where chain = 0 or seq >= " + log.at(4));
    CHECK(verify(log.url).findings().empty());
    const auto found = verify(log.url, "--head " + log.head);
    CHECK(found.code == 1);
    CHECK(found.findings() == "head");
  }
  SECTION("an entry put in") {
    const written_log log("audit_tamper");
    log.tamper(
        "insert into centralcloud.audit_log select 900000 + audit_id, chain, seq + 1, at, role, actor, action, "
        "proposal_id, "
        "detail, previous, hash, xid from centralcloud.audit_log where chain = 1 order by seq desc limit 1");
    CHECK(verify(log.url).findings() == "changed 1/" + log.at(7));
  }
  SECTION("two entries that changed places") {
    const written_log log("audit_tamper");
    log.tamper(fmt::format(
        "create temp table swapped as select * from centralcloud.audit_log where chain = 1 and seq in ({0}, {1});"
        "delete from centralcloud.audit_log where chain = 1 and seq in ({0}, {1});"
        "update swapped set seq = {0} + {1} - seq; insert into centralcloud.audit_log select * from swapped",
        log.at(2), log.at(3)));
    CHECK(verify(log.url).findings() ==
          fmt::format("changed 1/{}, changed 1/{}, replaced 1/{}", log.at(2), log.at(3), log.at(4)));
  }
  SECTION("a decision and a rollback whose entries are not there, or say something else") {
    const written_log log("audit_tamper");
    log.psql("select centralcloud.decide('p', 'approved', 'consensus', 'why', 0.9, 'centralcloud')");
    CHECK(verify(log.url).findings().empty());
    log.tamper(
        "alter table centralcloud.decision disable trigger once_only; update centralcloud.decision set rule = "
        "'auto_approved'");
    CHECK(verify(log.url).findings() == "unrecorded p");
  }
  CHECK(run_command("audit verify --head 12", test::private_postgres::shared().url("audit_tamper")).code == 2);
}

TEST_CASE("audit: list shows who did what, newest first, and pages") {
  const written_log log("audit_list");
  const auto all = run_command("audit list --json --max 2 --proposal p", log.url);
  INFO(all.output);
  REQUIRE(all.code == 0);
  const auto newest = boost::json::parse(all.output).as_array();
  REQUIRE(newest.size() == 2);
  CHECK(newest[0].at("action") == "after the seal");
  CHECK(newest[0].at("role") == "postgres");
  const auto more = run_command(
      fmt::format("audit list --json --proposal p --before {}", newest[1].at("audit_id").as_int64()), log.url);
  CHECK(boost::json::parse(more.output).as_array().size() == 4);
  CHECK_THAT(run_command("audit list", log.url).output, Catch::Contains("migrate") && Catch::Contains("test 3"));
  CHECK(run_command("audit list --max 0", log.url).code == 2);
}
