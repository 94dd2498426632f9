#include "tests/system/faults/audit_proof.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <set>

namespace fleet::test::faults {

namespace {

/// As a superuser who hides what was done, in four ways and places. Gives what must be found: "problem place".
constexpr auto tamper = R"(
  begin;
  alter table centralcloud.audit_log disable trigger user;
  alter table centralcloud.decision disable trigger user;
  create temp table place as  -- of chain 1: the entry where the last seal says that it ends, and others before that
    select sealed, 1 as changed, greatest(2, sealed / 3) as replaced, sealed - 2 as removed
      from (select coalesce(split_part(s.detail -> 'ends' ->> '1', ':', 1)::bigint,
                            (select max(e.seq) from centralcloud.audit_log e where e.chain = 1)) as sealed
              from centralcloud.audit_log s where s.chain = 0 order by s.seq desc limit 1) l;
  update centralcloud.audit_log set actor = 'nobody' where chain = 1 and seq = (select changed from place);
  update centralcloud.audit_log set actor = 'nobody' where chain = 1 and seq = (select replaced from place);
  update centralcloud.audit_log l set hash = centralcloud.audit_hash(l) where chain = 1 and seq = (select replaced from place);
  delete from centralcloud.audit_log where chain = 1 and (seq = (select removed from place) or seq >= (select sealed from place));
  create temp table decision as select min(proposal_id) as proposal_id from centralcloud.decision;
  update centralcloud.decision set rule = 'auto_approved' where proposal_id = (select proposal_id from decision);
  commit;
  select format('changed 1/%s,replaced 1/%s,removed 1/%s,removed 1/%s', changed, replaced + 1, removed + 1, sealed)
      || coalesce(',unrecorded ' || proposal_id, '') from place, decision)";

constexpr auto copy = "tampered";

struct verdict {
  int code = -1;
  std::string report;
};

verdict verify(const std::string& url, const std::string& head = {}) {
  const auto output =
      shell(fmt::format("'{}' audit verify --json --database.url '{}' {}; echo $?",
                        daemon_binary("centralcloud_daemon"), url, head.empty() ? "" : "--head " + head));
  const auto line = output.rfind('\n');
  if (line == std::string::npos) return {std::atoi(output.c_str()), "null"};
  return {std::atoi(output.c_str() + line), output.substr(0, line)};
}

void keep(sql_session& admin, const std::string& what, const verdict& said, const std::string& expected = {}) {
  admin.query("insert into faults.audit_verify values ($1, $2, $3::jsonb, string_to_array($4, ','))",
              postgres::make_params(what, said.code, said.report, expected));
}

/// Those that coordinators told while they ran; the first and the last stand for all of them.
std::set<std::string> noted_heads(const world& fleet) {
  std::vector<std::string> all;
  for (const auto& each : fleet.coordinators) {
    std::ifstream log(fleet.log_path(each->name));
    for (std::string line; std::getline(log, line);) {
      const auto at = line.find(" head=");
      if (line.find("audit_sealed") != std::string::npos && at != std::string::npos)
        all.push_back(line.substr(at + 6, 64));
    }
  }
  if (all.empty()) return {};
  return {all.front(), all.back()};
}

}  // namespace

void prove_audit(sql_session& admin, world& fleet) {
  keep(admin, "the log", verify(fleet.admin_url()));
  for (const auto& head : noted_heads(fleet)) keep(admin, "head " + head, verify(fleet.admin_url(), head));
  admin.close();  // a database that somebody is in cannot be copied
  fleet.postgres.psql(fmt::format("create database {} template faults", copy));
  const auto expected = fleet.postgres.psql(tamper, copy);
  keep(admin, "a copy that was tampered with", verify(fleet.postgres.url(copy)), expected);
}

}  // namespace fleet::test::faults
