// The file of a spool: its tables, and what becomes of one that is damaged.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "common/quantumflow/spool.hpp"
#include "common/quantumflow/sqlite.hpp"

namespace fleet::quantumflow {

/// Opens or creates it. A damaged one is renamed to PATH.damaged-N, once what can be read of it is in a new one, which
/// counts what cannot as `unreadable`; while that is made, the disk needs twice its room. Throws `base::failure` where
/// it cannot be opened, or no new one be made: then the damaged one is where it was.
std::unique_ptr<sqlite::connection> open_spool_file(const std::filesystem::path& path);

/// Those that are not there yet.
void make_tables(sqlite::connection& in);

/// Of an entry; the last one is the checksum.
inline constexpr auto spool_columns = "sequence, kind, key, body, may_be_dropped, checksum";
spool_entry entry_of(const sqlite::statement& row);
std::int64_t checksum_of(const spool_entry& of);
/// Throws `base::failure` where the key is there already.
void insert_entry(sqlite::connection& in, const spool_entry& what);

/// Adds to a counter that lives as long as the file.
void count(sqlite::connection& in, std::string_view name, std::int64_t more);

}  // namespace fleet::quantumflow
