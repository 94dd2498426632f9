#include "common/quantumflow/spool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/time.hpp"
#include "common/quantumflow/spool_file.hpp"
#include "common/quantumflow/sqlite.hpp"

namespace fleet::quantumflow {

namespace {

/// Bytes that a batch of entries has, unless its first has more.
constexpr std::uint64_t read_at_once = 1U << 20;

std::uint64_t size_of(const spool_entry& of) {
  return of.kind.size() + of.key.size() + of.body.size();
}

std::uint64_t counted(sqlite::connection& in, std::string_view name) {
  auto read = in.prepare("select value from counter where name = ?1");
  read.bind(name);
  return read.step() ? static_cast<std::uint64_t>(read.integer(0)) : 0;
}

/// None is used twice, even where all that had it are gone.
std::int64_t next_sequence(sqlite::connection& in) {
  auto read = in.prepare(
      "select 1 + max(coalesce((select seq from sqlite_sequence where name = 'entry'), 0), "
      "coalesce((select max(sequence) from entry), 0))");
  read.step();
  return read.integer(0);
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
    opened->connection = open_spool_file(options.path);
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
      auto found = in.prepare(fmt::format("select {} from entry where sequence = ?", spool_columns));
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
      auto oldest = in.prepare(
          fmt::format("select {} from entry where may_be_dropped = 1 order by sequence limit 1", spool_columns));
      if (!oldest.step())
        return base::make_error(base::error_kind::unavailable,
                                fmt::format("spool: full ({} of {} bytes)", held, options_.max_bytes));
      const auto entry = entry_of(oldest);
      in.prepare("delete from entry where sequence = ?").bind(entry.sequence).step();
      freed += size_of(entry);
      ++dropped;
    }
    const auto sequence = next_sequence(in);
    what.sequence = sequence;
    insert_entry(in, what);
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
      auto rows = in.prepare(fmt::format("select {} from entry where sequence > ? order by sequence", spool_columns));
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
