#include "common/quantumflow/spool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/crc.hpp>
#include <utility>

#include "common/base/time.hpp"
#include "common/quantumflow/sqlite.hpp"

namespace fleet::quantumflow {

namespace {

constexpr auto tables = R"(
  create table if not exists entry (
    sequence integer primary key autoincrement, kind text not null, key text not null unique, body text not null,
    may_be_dropped integer not null, checksum integer not null);
  create index if not exists entry_droppable on entry (sequence) where may_be_dropped = 1;
  create table if not exists quarantine (
    sequence integer primary key, kind text not null, key text not null, body text not null, reason text not null,
    at text not null, bytes integer not null);
  create table if not exists counter (name text primary key, value integer not null))";

constexpr auto columns = "sequence, kind, key, body, may_be_dropped, checksum";

/// Bytes that a batch of entries has, unless its first has more.
constexpr std::uint64_t read_at_once = 1U << 20;

std::int64_t checksum_of(const spool_entry& of) {
  boost::crc_32_type crc;
  for (const auto* part : {&of.kind, &of.key, &of.body}) {
    crc.process_bytes(part->data(), part->size());
    crc.process_byte(0);  // keeps "ab","c" apart from "a","bc"
  }
  return crc.checksum();
}

std::uint64_t size_of(const spool_entry& of) {
  return of.kind.size() + of.key.size() + of.body.size();
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

void count(sqlite::connection& in, std::string_view name, std::int64_t more) {
  auto add = in.prepare("insert into counter values (?1, ?2) on conflict (name) do update set value = value + ?2");
  add.bind(name).bind(more).step();
}

std::uint64_t counted(sqlite::connection& in, std::string_view name) {
  auto read = in.prepare("select value from counter where name = ?1");
  read.bind(name);
  return read.step() ? static_cast<std::uint64_t>(read.integer(0)) : 0;
}

void insert(sqlite::connection& in, const spool_entry& what) {
  auto add = in.prepare("insert into entry (kind, key, body, may_be_dropped, checksum) values (?, ?, ?, ?, ?)");
  add.bind(what.kind).bind(what.key).bind(what.body).bind(std::int64_t{what.may_be_dropped}).bind(checksum_of(what));
  add.step();
}

void set_aside(sqlite::connection& in, const spool_entry& what, const std::string& reason, const spool_options& most) {
  auto add = in.prepare("insert or replace into quarantine values (?, ?, ?, ?, ?, ?, ?)");
  add.bind(what.sequence).bind(what.kind).bind(what.key).bind(what.body).bind(reason);
  add.bind(base::format_rfc3339(base::system_clock().now())).bind(static_cast<std::int64_t>(size_of(what)));
  add.step();
  in.prepare("delete from entry where sequence = ?").bind(what.sequence).step();
  in.prepare(
        "delete from quarantine where sequence in (select sequence from (select sequence, "
        "  row_number() over newest as place, sum(bytes) over newest as size from quarantine "
        "  window newest as (order by sequence desc)) where place > ? or (size > ? and place > 1))")
      .bind(static_cast<std::int64_t>(most.max_quarantined))
      .bind(static_cast<std::int64_t>(most.max_bytes))
      .step();
  count(in, "quarantined", 1);
}

bool is_whole(sqlite::connection& in) {
  auto check = in.prepare("pragma quick_check(1)");
  return check.step() && check.text(0) == "ok";
}

/// What a scan reads before it meets damage.
void read_while_possible(sqlite::connection& from, const std::string& order, std::vector<spool_entry>& into) {
  try {
    auto rows = from.prepare(fmt::format("select {} from entry order by sequence {}", columns, order));
    while (rows.step()) {
      auto entry = entry_of(rows);
      const bool sound = rows.integer(5) == checksum_of(entry);
      if (sound) into.push_back(std::move(entry));
    }
  } catch (const base::failure&) {  // the damage begins here
  }
}

/// From both ends, so that one damaged page costs what it holds and no more.
std::vector<spool_entry> readable_of(const std::filesystem::path& damaged) {
  std::vector<spool_entry> all;
  try {
    sqlite::connection from(damaged);
    read_while_possible(from, "asc", all);
    read_while_possible(from, "desc", all);
  } catch (const base::failure&) {  // not even the header can be read
  }
  const auto by_sequence = [](const spool_entry& a, const spool_entry& b) { return a.sequence < b.sequence; };
  const auto same = [](const spool_entry& a, const spool_entry& b) { return a.sequence == b.sequence; };
  std::sort(all.begin(), all.end(), by_sequence);
  all.erase(std::unique(all.begin(), all.end(), same), all.end());
  return all;
}

std::filesystem::path name_for_damaged(const std::filesystem::path& path) {
  for (int n = 1;; ++n) {
    auto candidate = path;
    candidate += fmt::format(".damaged-{}", n);
    if (!std::filesystem::exists(candidate)) return candidate;
  }
}

/// Sequences go on where the old file's ended, as far as that is known, so that none is used twice.
void take_over(sqlite::connection& fresh, const std::vector<spool_entry>& entries) {
  sqlite::transaction open(fresh);
  for (const auto& each : entries) {
    auto add = fresh.prepare(
        "insert or ignore into entry (sequence, kind, key, body, may_be_dropped, checksum) "
        "values (?, ?, ?, ?, ?, ?)");
    add.bind(each.sequence).bind(each.kind).bind(each.key).bind(each.body);
    add.bind(std::int64_t{each.may_be_dropped}).bind(checksum_of(each)).step();
  }
  const auto span = entries.empty() ? 1 : entries.back().sequence - entries.front().sequence + 1;
  const auto lost = entries.empty() ? 1 : span - static_cast<std::int64_t>(entries.size());
  count(fresh, "unreadable", std::max<std::int64_t>(lost, 1));
  open.commit();
}

std::unique_ptr<sqlite::connection> open_whole(const std::filesystem::path& path) {
  try {
    auto opened = std::make_unique<sqlite::connection>(path);
    if (is_whole(*opened)) {
      opened->run(tables);
      return opened;
    }
  } catch (const base::failure& failure) {
    if (!sqlite::is_damage(failure.get().message)) throw;
  }
  const auto aside = name_for_damaged(path);
  for (const auto* suffix : {"", "-wal", "-shm"}) {
    auto from = path, to = aside;
    from += suffix;
    to += suffix;
    std::error_code none_there;
    std::filesystem::rename(from, to, none_there);
  }
  const auto readable = readable_of(aside);
  auto fresh = std::make_unique<sqlite::connection>(path);
  fresh->run(tables);
  take_over(*fresh, readable);
  return fresh;
}

}  // namespace

struct spool::database {
  std::unique_ptr<sqlite::connection> connection;
};

class spool::told_at_the_end {
 public:
  explicit told_at_the_end(spool& of) : of_(of) {}
  ~told_at_the_end() {
    const std::scoped_lock lock(of_.told_mutex_);
    of_.told_ = of_.stats_;
    of_.told_.lingering = of_.gone_.size();
  }
  told_at_the_end(const told_at_the_end&) = delete;
  told_at_the_end& operator=(const told_at_the_end&) = delete;

 private:
  spool& of_;
};

spool::spool(std::unique_ptr<database> opened, spool_options options)
    : options_(std::move(options)), database_(std::move(opened)) {
  const told_at_the_end tell(*this);
  auto& in = *database_->connection;
  auto sizes = in.prepare(
      "select count(*), coalesce(sum(length(cast(kind as blob)) + length(cast(key as blob)) + "
      "length(cast(body as blob))), 0) from entry");
  sizes.step();
  stats_.entries = static_cast<std::uint64_t>(sizes.integer(0));
  stats_.bytes = static_cast<std::uint64_t>(sizes.integer(1));
  stats_.quarantined_total = counted(in, "quarantined");
  stats_.dropped_total = counted(in, "dropped");
  stats_.unreadable_total = counted(in, "unreadable");
}

spool::~spool() = default;

base::result<std::unique_ptr<spool>> spool::open(spool_options options) {
  try {
    auto opened = std::make_unique<database>();
    opened->connection = open_whole(options.path);
    return std::unique_ptr<spool>(new spool(std::move(opened), std::move(options)));
  } catch (const base::failure& failure) {
    return base::make_error(base::error_kind::unavailable,
                            fmt::format("{} ({})", failure.what(), options.path.string()));
  }
}

/// Takes from the disk what is gone, in the caller's transaction; to be forgotten once that is committed.
spool::taken_out spool::take_out_gone() {
  auto& in = *database_->connection;
  taken_out taken;
  for (const auto& [sequence, reason] : gone_) {
    spool_entry entry;
    {
      auto found = in.prepare(fmt::format("select {} from entry where sequence = ?", columns));
      if (!found.bind(sequence).step()) continue;
      entry = entry_of(found);
    }
    taken.bytes += size_of(entry);
    if (reason) {
      set_aside(in, entry, *reason, options_);
      ++taken.quarantined;
    } else {
      in.prepare("delete from entry where sequence = ?").bind(sequence).step();
    }
  }
  return taken;
}

void spool::forget_gone(const taken_out& what) {
  gone_.clear();
  stats_.bytes -= std::min(stats_.bytes, what.bytes);
  stats_.quarantined_total += what.quarantined;
}

void spool::tidy_now() {
  if (gone_.empty()) return;
  sqlite::transaction open(*database_->connection);
  const auto taken = take_out_gone();
  open.commit();
  forget_gone(taken);
}

base::result<std::int64_t> spool::append(spool_entry what) {
  const std::scoped_lock one_at_a_time(mutex_);
  const told_at_the_end tell(*this);
  auto& in = *database_->connection;
  const auto bytes = size_of(what);
  try {
    sqlite::transaction open(in);
    const auto taken = take_out_gone();
    const auto held = stats_.bytes - std::min(stats_.bytes, taken.bytes);
    std::uint64_t dropped = 0;
    std::uint64_t freed = 0;
    while (held - freed + bytes > options_.max_bytes) {
      auto oldest =
          in.prepare(fmt::format("select {} from entry where may_be_dropped = 1 order by sequence limit 1", columns));
      if (!oldest.step())
        return base::make_error(base::error_kind::unavailable,
                                fmt::format("spool: full ({} of {} bytes)", held, options_.max_bytes));
      const auto entry = entry_of(oldest);
      in.prepare("delete from entry where sequence = ?").bind(entry.sequence).step();
      freed += size_of(entry);
      ++dropped;
    }
    insert(in, what);
    const auto sequence = in.last_id();
    if (dropped > 0) count(in, "dropped", static_cast<std::int64_t>(dropped));
    open.commit();
    forget_gone(taken);
    stats_.entries += 1 - dropped;
    stats_.bytes += bytes - freed;
    stats_.dropped_total += dropped;
    return sequence;
  } catch (const base::failure& failure) {
    return failure.get();
  }
}

base::result<std::vector<spool_entry>> spool::oldest(std::size_t max, std::int64_t after) {
  const std::scoped_lock one_at_a_time(mutex_);
  const told_at_the_end tell(*this);
  auto& in = *database_->connection;
  try {
    bool unsound = false;
    std::uint64_t bytes = 0;
    std::vector<spool_entry> found;
    {
      auto rows = in.prepare(fmt::format("select {} from entry where sequence > ? order by sequence", columns));
      rows.bind(after);
      while (found.size() < max && bytes < read_at_once && rows.step()) {
        auto entry = entry_of(rows);
        if (gone_.count(entry.sequence) != 0) continue;
        if (rows.integer(5) == checksum_of(entry)) {
          bytes += size_of(entry);
          if (bytes <= read_at_once || found.empty()) found.push_back(std::move(entry));
        } else {
          gone_.emplace(entry.sequence, "its checksum is wrong");
          --stats_.entries;
          unsound = true;
        }
      }
    }
    if (unsound) tidy_now();
    return found;
  } catch (const base::failure& failure) {
    return failure.get();
  }
}

base::result<void> spool::settle(std::vector<spool_outcome> what) {
  const std::scoped_lock one_at_a_time(mutex_);
  const told_at_the_end tell(*this);
  try {
    for (auto& each : what) {
      if (gone_.count(each.sequence) != 0) continue;
      auto found = database_->connection->prepare("select 1 from entry where sequence = ?");
      if (!found.bind(each.sequence).step()) continue;
      gone_.emplace(each.sequence, std::move(each.refused));
      --stats_.entries;
    }
    tidy_now();
    return {};
  } catch (const base::failure& failure) {
    return failure.get();
  }
}

base::result<void> spool::tidy() {
  const std::scoped_lock one_at_a_time(mutex_);
  const told_at_the_end tell(*this);
  try {
    tidy_now();
    return {};
  } catch (const base::failure& failure) {
    return failure.get();
  }
}

base::result<std::vector<spool::quarantined_entry>> spool::quarantined(int max) {
  const std::scoped_lock one_at_a_time(mutex_);
  try {
    std::vector<quarantined_entry> all;
    auto rows = database_->connection->prepare(
        "select sequence, kind, key, body, 0, reason, at from quarantine order by sequence desc limit ?");
    rows.bind(std::int64_t{max});
    while (rows.step()) all.push_back({entry_of(rows), rows.text(5), rows.text(6)});
    return all;
  } catch (const base::failure& failure) {
    return failure.get();
  }
}

spool_stats spool::stats() const {
  const std::scoped_lock lock(told_mutex_);
  return told_;
}

}  // namespace fleet::quantumflow
