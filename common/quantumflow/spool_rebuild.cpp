#include "common/quantumflow/spool_rebuild.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/quantumflow/spool_file.hpp"

namespace fleet::quantumflow {

namespace {

/// A rebuild of 50 MB takes 2 s.
constexpr std::chrono::seconds longest_claim{30};

namespace fs = std::filesystem;

constexpr std::size_t page_size = 4096;  // SQLite's own choice

/// Later ones are damage, too: numbers must not run out.
constexpr std::int64_t last_plausible_sequence = std::int64_t{1} << 53;

[[noreturn]] void fail(const fs::path& path, std::string_view what, const std::error_code& why) {
  throw base::failure(base::make_error(base::error_kind::unavailable,
                                       fmt::format("spool: {} cannot be {}: {}", path.string(), what, why.message())));
}

std::error_code last_error() {
  return {errno, std::generic_category()};
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// A file, or a folder's list of names.
void make_durable(const fs::path& path) {
  const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) fail(path, "opened", last_error());
  const int done = ::fsync(opened);
  const auto why = last_error();
  ::close(opened);
  if (done != 0) fail(path, "written to the disk", why);
}

struct readable {
  std::vector<spool_entry> entries = {};
  std::int64_t there_were = 0;     ///< as far as the index of keys knows
  std::int64_t last_sequence = 0;  ///< ever given, as far as SQLite knows
};

/// What is done of it before it meets damage is what can be had. All else that fails is no reason to do with less.
template <class F>
void until_damage(const fs::path& in, F what) {
  try {
    what();
  } catch (const base::failure& failure) {
    if (!is_of_a_damaged_file(failure, in)) throw;
  }
}

void read_while_possible(sqlite::connection& from, const fs::path& path, const std::string& how,
                         std::vector<spool_entry>& into) {
  until_damage(path, [&] {
    auto rows = from.prepare(fmt::format("select {} from entry {}", spool_columns, how));
    while (rows.step()) {
      auto entry = entry_of(rows);
      const bool sound = rows.integer(5) == checksum_of(entry);
      if (sound) into.push_back(std::move(entry));
    }
  });
}

/// From both ends, so that one damaged page costs what it holds and no more.
void read_what_can_be(const fs::path& damaged, readable& into) {
  until_damage(damaged, [&] {
    sqlite::connection from(damaged);
    read_while_possible(from, damaged, "order by sequence", into.entries);
    read_while_possible(from, damaged, "order by sequence desc", into.entries);
    until_damage(damaged, [&] {
      auto by_key = from.prepare("select count(*) from entry indexed by sqlite_autoindex_entry_1 where key > ''");
      if (by_key.step()) into.there_were = std::max(into.there_were, by_key.integer(0));
    });
    auto last = from.prepare("select seq from sqlite_sequence where name = 'entry'");
    if (last.step() && last.integer(0) < last_plausible_sequence)
      into.last_sequence = std::max(into.last_sequence, last.integer(0));
  });
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

fs::path rebuilt_of(const fs::path& path) {
  return beside(path, ".rebuilt");
}
fs::path first_page_of(const fs::path& path) {
  return beside(path, ".first-page");
}

/// A copy whose first page is a sound file's: that holds nothing but the header and the schema, which are known (the
/// file format is https://www.sqlite.org/fileformat2.html). Only the number of pages is this file's own.
void copy_with_sound_first_page(const fs::path& damaged, const fs::path& copy) {
  {
    sqlite::connection sound(copy);
    make_tables(sound);
    sound.run("pragma wal_checkpoint(truncate)");
  }
  const auto first_page = content_of(copy).substr(0, page_size);
  remove_spool(copy);
  auto content = content_of(damaged);
  if (content.size() < page_size || first_page.size() < page_size) return;
  content.replace(0, page_size, first_page);
  for (std::size_t byte = 0; byte < 4; ++byte)
    content[28 + byte] = static_cast<char>(content.size() / page_size >> (8 * (3 - byte)));
  std::ofstream out(copy, std::ios::binary);
  out << content;
  out.close();
  if (!out) fail(copy, "written", last_error());
}

/// Every leaf of a table taken for the whole table `entry`, one after the other: whatever leads to it may be damaged.
/// What is no entry has no sound checksum.
void read_page_by_page(const fs::path& copy, std::vector<spool_entry>& into) {
  constexpr char table_leaf = 13;
  const auto content = content_of(copy);
  until_damage(copy, [&] {
    sqlite::connection from(copy);
    from.run("pragma synchronous = off");
    for (std::size_t page = 2; page <= content.size() / page_size; ++page) {
      if (content[(page - 1) * page_size] != table_leaf) continue;
      from.run("pragma writable_schema = on");
      from.run(fmt::format("update sqlite_schema set rootpage = {} where name = 'entry'", page));
      from.run("pragma writable_schema = reset");
      read_while_possible(from, copy, "not indexed", into);
    }
  });
}

readable readable_of(const fs::path& damaged) {
  readable found;
  auto& all = found.entries;
  read_what_can_be(damaged, found);
  const auto copy = first_page_of(damaged);
  copy_with_sound_first_page(damaged, copy);
  read_what_can_be(copy, found);
  read_page_by_page(copy, all);
  remove_spool(copy);
  const auto by_sequence = [](const spool_entry& a, const spool_entry& b) { return a.sequence < b.sequence; };
  const auto same = [](const spool_entry& a, const spool_entry& b) { return a.sequence == b.sequence; };
  std::sort(all.begin(), all.end(), by_sequence);
  all.erase(std::unique(all.begin(), all.end(), same), all.end());
  std::set<std::string> keys;
  std::erase_if(all, [&](const spool_entry& each) { return !keys.insert(each.key).second; });
  return found;
}

/// Sequences go on where the old file's ended, as far as that is known, so that none is used twice.
void take_over(sqlite::connection& fresh, const readable& found) {
  sqlite::transaction open(fresh);
  for (const auto& each : found.entries) insert_entry(fresh, each);
  const auto taken = static_cast<std::int64_t>(found.entries.size());
  const auto last = taken == 0 ? 0 : found.entries.back().sequence;
  const auto span = taken == 0 ? 0 : last - found.entries.front().sequence + 1;
  const auto lost = std::max<std::int64_t>(std::max(span, found.there_were) - taken, 1);
  count(fresh, "unreadable", lost);
  fresh.run("delete from sqlite_sequence where name = 'entry'");
  auto go_on = fresh.prepare("insert into sqlite_sequence (name, seq) values ('entry', ?)");
  go_on.bind(std::max(last + lost, found.last_sequence)).step();
  open.commit();
}

void build(const fs::path& rebuilt, const readable& found) {
  {
    sqlite::connection fresh(rebuilt);
    // It counts for nothing before it is complete: a log would only take its room once more.
    fresh.run("pragma journal_mode = off");
    fresh.run("pragma synchronous = off");
    make_tables(fresh);
    take_over(fresh, found);
  }
  make_durable(rebuilt);
}

void rename_where_there(const fs::path& from, const fs::path& to) {
  std::error_code why;
  fs::rename(from, to, why);
  if (why && why != std::errc::no_such_file_or_directory) fail(from, "renamed", why);
}

/// The first that is free; or the last, where the damaged file has it already.
fs::path name_for_damaged(const fs::path& path) {
  const auto numbered = [&](int n) { return beside(path, fmt::format(".damaged-{}", n)); };
  std::error_code ec;
  int n = 1;
  while (fs::exists(numbered(n), ec)) ++n;
  return numbered(n == 1 || fs::exists(path, ec) ? n : n - 1);
}

/// The damaged file's log goes after it, and not before: without it the file could lack what it still has. And it must
/// be gone before the new file has the name: SQLite would take it for that one's.
void put_in_place(const fs::path& path) {
  const auto aside = name_for_damaged(path);
  for (const auto* suffix : {"", "-wal", "-shm"}) rename_where_there(beside(path, suffix), beside(aside, suffix));
  make_durable(folder_of(path));
  rename_where_there(rebuilt_of(path), path);
  make_durable(folder_of(path));
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

// Where it cannot be had (a file system without such locks), one goes on without.
folder_claim::folder_claim(const fs::path& spool)
    : folder_(::open(folder_of(spool).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  const auto until = std::chrono::steady_clock::now() + longest_claim;
  while (folder_ >= 0 && ::flock(folder_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return;
    if (std::chrono::steady_clock::now() >= until) {
      ::close(folder_);
      throw base::failure(base::make_error(
          base::error_kind::unavailable,
          fmt::format("spool: another process has been opening one in {} for {} s", folder_of(spool).string(),
                      std::chrono::duration_cast<std::chrono::seconds>(longest_claim).count())));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

folder_claim::~folder_claim() {
  if (folder_ >= 0) ::close(folder_);
}

void rebuild(const fs::path& path) {
  try {
    build(rebuilt_of(path), readable_of(path));
  } catch (const base::failure& failure) {
    finish_rebuild(path);
    throw base::failure(base::make_error(
        base::error_kind::unavailable,
        fmt::format("spool: damaged, and what can be read cannot be taken over into a new file, which needs as much "
                    "room again: {}",
                    failure.get().message)));
  }
  put_in_place(path);
}

void finish_rebuild(const fs::path& path) {
  std::error_code ec;
  // Complete, since the damaged file left its name to it.
  if (!fs::exists(path, ec) && fs::exists(rebuilt_of(path), ec)) put_in_place(path);
  remove_spool(rebuilt_of(path));
  remove_spool(first_page_of(path));
}

bool is_of_a_damaged_file(const base::failure& failure, const fs::path& path) {
  return sqlite::is_damage(failure.get().message) || has_other_version(path);
}

}  // namespace fleet::quantumflow
