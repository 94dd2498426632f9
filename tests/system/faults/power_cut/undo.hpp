// Takes back what no fsync covers, after the process that wrote it is dead.
#pragma once
#include <cstddef>
#include <string>

namespace fleet::test::faults {

/// Undoes the writes of the log at `log_path` (see power_cut.cpp) and removes it. Returns how many were taken back.
std::size_t undo_unsynced(const std::string& log_path);

}  // namespace fleet::test::faults
