#include "common/quantumflow/spool_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/crc.hpp>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::quantumflow {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t page_size = 4096;  // SQLite's own choice

constexpr auto tables = R"(
  create table if not exists entry (
    sequence integer primary key autoincrement, kind text not null, key text not null unique, body text not null,
    may_be_dropped integer not null, checksum integer not null);
  create index if not exists entry_droppable on entry (sequence) where may_be_dropped = 1;
  create table if not exists quarantine (
    sequence integer primary key, kind text not null, key text not null, body text not null, reason text not null,
    at text not null, bytes integer not null);
  create table if not exists counter (name text primary key, value integer not null))";

/// What SQLite knows of the tables. A bit that changes here makes it look past a table, or refuse the file.
std::string schema_of(sqlite::connection& in) {
  auto rows = in.prepare("select type || name || tbl_name || coalesce(sql, '') from sqlite_schema order by rowid");
  std::string all;
  while (rows.step()) all += rows.text(0) + "\n";
  return all;
}

std::string expected_schema() {
  sqlite::connection sound(":memory:");
  sound.run(tables);
  return schema_of(sound);
}

/// Everything is read: the check looks at pages and indexes, and not at what a row says of itself.
bool is_whole(sqlite::connection& in) {
  auto check = in.prepare("pragma integrity_check(1)");
  if (!check.step() || check.text(0) != "ok" || schema_of(in) != expected_schema()) return false;
  auto rows = in.prepare(fmt::format("select {} from entry", spool_columns));
  while (rows.step()) entry_of(rows);
  return true;
}

struct readable {
  std::vector<spool_entry> entries = {};
  std::int64_t there_were = 0;  ///< as far as the index of keys knows
};

/// What a scan reads before it meets damage.
void read_while_possible(sqlite::connection& from, const std::string& how, std::vector<spool_entry>& into) {
  try {
    auto rows = from.prepare(fmt::format("select {} from entry {}", spool_columns, how));
    while (rows.step()) {
      auto entry = entry_of(rows);
      const bool sound = rows.integer(5) == checksum_of(entry);
      if (sound) into.push_back(std::move(entry));
    }
  } catch (const base::failure&) {  // the damage begins here
  }
}

/// From both ends, so that one damaged page costs what it holds and no more.
void read_what_can_be(const fs::path& damaged, readable& into) {
  try {
    sqlite::connection from(damaged);
    read_while_possible(from, "order by sequence", into.entries);
    read_while_possible(from, "order by sequence desc", into.entries);
    auto by_key = from.prepare("select count(*) from entry indexed by sqlite_autoindex_entry_1 where key > ''");
    if (by_key.step()) into.there_were = std::max(into.there_were, by_key.integer(0));
  } catch (const base::failure&) {  // not even the header can be read
  }
}

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

fs::path beside(const fs::path& path, const std::string& suffix) {
  auto made = path;
  made += suffix;
  return made;
}

void remove_spool(const fs::path& path) {
  std::error_code none_there;
  for (const auto* suffix : {"", "-wal", "-shm"}) fs::remove(beside(path, suffix), none_there);
}

/// A copy whose first page is a sound file's: that holds nothing but the header and the schema, which are known (the
/// file format is https://www.sqlite.org/fileformat2.html). Only the number of pages is this file's own.
void copy_with_sound_first_page(const fs::path& damaged, const fs::path& copy) {
  {
    sqlite::connection sound(copy);
    sound.run(tables);
    sound.run("pragma wal_checkpoint(truncate)");
  }
  const auto first_page = content_of(copy).substr(0, page_size);
  remove_spool(copy);
  auto content = content_of(damaged);
  if (content.size() < page_size || first_page.size() < page_size) return;
  content.replace(0, page_size, first_page);
  for (std::size_t byte = 0; byte < 4; ++byte)
    content[28 + byte] = static_cast<char>(content.size() / page_size >> (8 * (3 - byte)));
  std::ofstream(copy, std::ios::binary) << content;
}

/// Every leaf of a table taken for the whole table `entry`, one after the other: whatever leads to it may be damaged.
/// What is no entry has no sound checksum.
void read_page_by_page(const fs::path& copy, std::vector<spool_entry>& into) {
  constexpr char table_leaf = 13;
  const auto content = content_of(copy);
  sqlite::connection from(copy);
  from.run("pragma synchronous = off");
  for (std::size_t page = 2; page <= content.size() / page_size; ++page) {
    if (content[(page - 1) * page_size] != table_leaf) continue;
    from.run("pragma writable_schema = on");
    from.run(fmt::format("update sqlite_schema set rootpage = {} where name = 'entry'", page));
    from.run("pragma writable_schema = reset");
    read_while_possible(from, "not indexed", into);
  }
}

readable readable_of(const fs::path& damaged) {
  readable found;
  auto& all = found.entries;
  read_what_can_be(damaged, found);
  const auto copy = beside(damaged, ".first-page");
  try {
    copy_with_sound_first_page(damaged, copy);
    read_what_can_be(copy, found);
    read_page_by_page(copy, all);
  } catch (const base::failure&) {  // no room for a copy
  }
  remove_spool(copy);
  const auto by_sequence = [](const spool_entry& a, const spool_entry& b) { return a.sequence < b.sequence; };
  const auto same = [](const spool_entry& a, const spool_entry& b) { return a.sequence == b.sequence; };
  std::sort(all.begin(), all.end(), by_sequence);
  all.erase(std::unique(all.begin(), all.end(), same), all.end());
  std::set<std::string> keys;
  std::erase_if(all, [&](const spool_entry& each) { return !keys.insert(each.key).second; });
  return found;
}

fs::path name_for_damaged(const fs::path& path) {
  for (int n = 1;; ++n) {
    auto candidate = beside(path, fmt::format(".damaged-{}", n));
    if (!fs::exists(candidate)) return candidate;
  }
}

/// Sequences go on where the old file's ended, as far as that is known, so that none is used twice.
void take_over(sqlite::connection& fresh, const readable& found) {
  sqlite::transaction open(fresh);
  for (const auto& each : found.entries) insert_entry(fresh, each);
  const auto taken = static_cast<std::int64_t>(found.entries.size());
  const auto span = taken == 0 ? 0 : found.entries.back().sequence - found.entries.front().sequence + 1;
  const auto lost = std::max(span, found.there_were) - taken;
  count(fresh, "unreadable", std::max<std::int64_t>(lost, 1));
  open.commit();
}

/// SQLite takes a file of a later version for one that it may only read.
bool has_other_version(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  char version[2] = {1, 1};
  in.seekg(18);
  in.read(version, sizeof version);
  return in && (version[0] > 2 || version[1] > 2 || version[0] < 1 || version[1] < 1);
}

}  // namespace

std::int64_t checksum_of(const spool_entry& of) {
  boost::crc_32_type crc;
  crc.process_bytes(&of.sequence, sizeof of.sequence);
  for (const auto* part : {&of.kind, &of.key, &of.body}) {
    crc.process_bytes(part->data(), part->size());
    crc.process_byte(0);  // keeps "ab","c" apart from "a","bc"
  }
  crc.process_byte(of.may_be_dropped ? 1 : 0);
  return crc.checksum();
}

spool_entry entry_of(const sqlite::statement& row) {
  spool_entry entry;
  entry.sequence = row.integer(0);
  entry.kind = row.text(1);
  entry.key = row.text(2);
  entry.body = row.text(3);
  entry.may_be_dropped = row.integer(4) != 0;
  return entry;
}

void insert_entry(sqlite::connection& in, const spool_entry& what) {
  auto add = in.prepare(fmt::format("insert into entry ({}) values (?, ?, ?, ?, ?, ?)", spool_columns));
  add.bind(what.sequence).bind(what.kind).bind(what.key).bind(what.body);
  add.bind(std::int64_t{what.may_be_dropped}).bind(checksum_of(what)).step();
}

void count(sqlite::connection& in, std::string_view name, std::int64_t more) {
  auto add = in.prepare("insert into counter values (?1, ?2) on conflict (name) do update set value = value + ?2");
  add.bind(name).bind(more).step();
}

std::unique_ptr<sqlite::connection> open_spool_file(const fs::path& path) {
  try {
    auto opened = std::make_unique<sqlite::connection>(path);
    // Before anything is made: a table whose name has changed would otherwise be made anew, and its entries be gone.
    if (schema_of(*opened).empty()) opened->run(tables);
    if (is_whole(*opened)) return opened;
  } catch (const base::failure& failure) {
    if (!sqlite::is_damage(failure.get().message) && !has_other_version(path)) throw;
  }
  const auto aside = name_for_damaged(path);
  for (const auto* suffix : {"", "-wal", "-shm"}) {
    std::error_code none_there;
    fs::rename(beside(path, suffix), beside(aside, suffix), none_there);
  }
  const auto found = readable_of(aside);
  auto fresh = std::make_unique<sqlite::connection>(path);
  fresh->run(tables);
  take_over(*fresh, found);
  return fresh;
}

}  // namespace fleet::quantumflow
