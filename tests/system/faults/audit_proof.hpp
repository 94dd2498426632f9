// `audit verify`, run on what a run leaves behind, and on a copy of it that somebody tampered with.
#pragma once
#include "tests/system/faults/sql_session.hpp"
#include "tests/system/faults/world.hpp"

namespace fleet::test::faults {

/// What the program says goes into faults.audit_verify. The daemons and all sessions but `admin` must have ended.
void prove_audit(sql_session& admin, world& fleet);

}  // namespace fleet::test::faults
