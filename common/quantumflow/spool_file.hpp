// The file of a spool: its tables, and what becomes of one that is damaged.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "common/quantumflow/spool.hpp"
#include "common/quantumflow/sqlite.hpp"

namespace fleet::quantumflow {

/// Opens or creates it. A damaged one is renamed to PATH.damaged-N, and what can be read of it is taken over into a new
/// one, which counts what cannot as `unreadable`. Throws `base::failure` where it cannot be opened.
std::unique_ptr<sqlite::connection> open_spool_file(const std::filesystem::path& path);

/// Of an entry; the last one is the checksum.
inline constexpr auto spool_columns = "sequence, kind, key, body, may_be_dropped, checksum";
spool_entry entry_of(const sqlite::statement& row);
std::int64_t checksum_of(const spool_entry& of);
/// Throws `base::failure` where the key is there already.
void insert_entry(sqlite::connection& in, const spool_entry& what);

/// Adds to a counter that lives as long as the file.
void count(sqlite::connection& in, std::string_view name, std::int64_t more);

}  // namespace fleet::quantumflow
