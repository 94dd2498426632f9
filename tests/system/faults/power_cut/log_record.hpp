// The log that the preloaded library writes and the suite reads: records, each followed by `length` bytes.
#pragma once
#include <cstdint>

namespace fleet::test::faults {

struct undo_record {
  char path[256];
  std::uint64_t old_size;  ///< of the file
  std::uint64_t offset;
  std::uint64_t length;  ///< of what stood there and follows here
  std::uint64_t synced;  ///< 1: nothing of this file before this record can be lost any more
};

}  // namespace fleet::test::faults
