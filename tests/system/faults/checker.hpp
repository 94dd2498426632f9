// Holds the invariants on what is left at the end: the history, the database, the repositories, the spools.
#pragma once
#include <string>
#include <vector>

#include "tests/system/faults/history.hpp"
#include "tests/system/faults/sql_session.hpp"
#include "tests/system/faults/world.hpp"

namespace fleet::test::faults {

/// A query of `invariants/NAME.sql`: each row it gives is a violation, (subject, what).
struct invariant {
  std::string name;
  std::string sentence;  ///< the file's first comment
  std::string sql;
};

std::vector<invariant> load_invariants(const std::string& folder);

struct violation {
  std::string invariant;
  std::string subject;
  std::string what;
};

/// Makes schema `faults`, in which the suite keeps what it saw; call before the load.
void prepare_facts(sql_session& admin);
/// Loads the history, the repositories and the agents' quarantines into it. The agents must have ended.
void collect_facts(sql_session& admin, world& fleet, const history& record);
std::vector<violation> check(sql_session& admin, const std::vector<invariant>& all);

/// Each violation with the entries of the history that show it; of one invariant at most `max` in full.
std::string explain(const std::vector<violation>& found, const history& record, std::size_t max = 5);

}  // namespace fleet::test::faults
