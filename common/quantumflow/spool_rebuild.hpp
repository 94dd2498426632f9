// A new file for a spool whose own is damaged. Whenever it ends, by a full disk, a kill or a power cut, the damaged
// file or the complete new one is there, and the next start comes to the same.
#pragma once
#include <filesystem>

#include "common/base/error.hpp"

namespace fleet::quantumflow {

/// Whoever has it is the only one that opens or rebuilds a spool in this folder: SQLite's own lock goes with each file.
/// Waits 30 s at most, then throws `base::failure`.
class folder_claim {
 public:
  explicit folder_claim(const std::filesystem::path& spool);
  ~folder_claim();
  folder_claim(const folder_claim&) = delete;
  folder_claim& operator=(const folder_claim&) = delete;

 private:
  int folder_;
};

/// Makes PATH.rebuilt of what can be read of PATH, then renames PATH to PATH.damaged-N and PATH.rebuilt to PATH.
/// Nothing may have it open. Throws `base::failure`.
void rebuild(const std::filesystem::path& path);

/// Ends a rebuild that was interrupted between its renames, and removes what another left. Throws `base::failure`.
void finish_rebuild(const std::filesystem::path& path);

/// The failure is one of the file's content, and not of the disk, of rights or of another process that has it.
bool is_of_a_damaged_file(const base::failure& failure, const std::filesystem::path& path);

}  // namespace fleet::quantumflow
