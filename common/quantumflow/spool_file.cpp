#include "common/quantumflow/spool_file.hpp"

#include <fmt/format.h>

#include <boost/crc.hpp>
#include <fstream>
#include <string>

#include "common/base/error.hpp"
#include "common/quantumflow/spool_rebuild.hpp"

namespace fleet::quantumflow {

namespace {

namespace fs = std::filesystem;

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
  make_tables(sound);
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

void make_tables(sqlite::connection& in) {
  in.run(tables);
}

std::unique_ptr<sqlite::connection> open_spool_file(const fs::path& path) {
  const folder_claim one_at_a_time(path);
  finish_rebuild(path);
  try {
    auto opened = std::make_unique<sqlite::connection>(path);
    // Before anything is made: a table whose name has changed would otherwise be made anew, and its entries be gone.
    if (schema_of(*opened).empty()) make_tables(*opened);
    if (is_whole(*opened)) return opened;
  } catch (const base::failure& failure) {
    if (!is_of_a_damaged_file(failure, path)) throw;
  }
  rebuild(path);
  return std::make_unique<sqlite::connection>(path);
}

}  // namespace fleet::quantumflow
