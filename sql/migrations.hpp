// The schema's migrations, embedded in the binary from sql/migrations/NNNN_title.sql.
#pragma once
#include <span>
#include <string_view>

namespace fleet::sql {

struct migration {
  int version;
  std::string_view title;
  std::string_view text;  ///< plain SQL, run in one transaction
};

/// In order of version, without gaps.
std::span<const migration> migrations();

}  // namespace fleet::sql
