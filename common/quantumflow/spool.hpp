// A durable queue on this machine's disk (SQLite), for what must not be lost while the database is away.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::quantumflow {

struct spool_options {
  std::filesystem::path path;                   ///< its directory must exist; more files are kept beside it
  std::uint64_t max_bytes = 64U * 1024 * 1024;  ///< of kinds, keys and bodies; the quarantine may have as many again
  std::uint64_t max_quarantined = 1'000;        ///< entries; the oldest make room
};

struct spool_entry {
  std::int64_t sequence = 0;  ///< ascending in the order of appending; never used twice
  std::string kind;
  std::string key;   ///< unique; what makes a replay idempotent
  std::string body;  ///< opaque
  bool may_be_dropped = false;
};

/// What became of an entry: dealt with, or refused for a reason that a person should look at.
struct spool_outcome {
  std::int64_t sequence = 0;
  std::optional<std::string> refused = {};
};

struct spool_stats {
  std::uint64_t entries = 0;
  std::uint64_t lingering = 0;  ///< no entries any more, but still on a disk that takes no writes
  std::uint64_t bytes = 0;
  std::uint64_t quarantined_total = 0;  ///< ever
  std::uint64_t dropped_total = 0;      ///< ever: entries that may be dropped and made room
  std::uint64_t unreadable_total = 0;   ///< ever: lost to damage of the file
};

/// Every call is a transaction that is on the disk when it returns (WAL, synchronous=FULL), and blocks for it: call it
/// on a blocking pool. Safe to call from several threads.
class spool {
 public:
  /// Opens or creates. What can be read of a damaged file is taken over into a new one, and then it is renamed to
  /// PATH.damaged-N. Error `unavailable`: cannot be opened or written, no room to take it over (then the damaged file
  /// is where it was), or another process has it.
  static base::result<std::unique_ptr<spool>> open(spool_options options);
  ~spool();
  spool(const spool&) = delete;
  spool& operator=(const spool&) = delete;

  /// The sequence it got. When the spool is full, entries that may be dropped make room, the oldest first; if that is
  /// not enough, or the disk is full: error `unavailable`, and nothing was kept.
  base::result<std::int64_t> append(spool_entry what);
  /// The oldest entries behind `after`, in order: at most `max`, and no more than one where they are large (1 MiB
  /// together). Empty where there are none. An entry whose checksum is wrong is quarantined and passed over.
  base::result<std::vector<spool_entry>> oldest(std::size_t max, std::int64_t after = 0);
  /// Takes entries out, all in one transaction; refused ones are set aside with their reason. Where the disk takes no
  /// writes, they are gone for this object all the same, and from the disk as soon as it takes them again; an error
  /// says so. Only a process that is started before that gets them once more.
  base::result<void> settle(std::vector<spool_outcome> what);
  /// Takes from the disk what is gone and still there. Every `append` and `settle` does so, too.
  base::result<void> tidy();

  struct quarantined_entry {
    spool_entry entry;
    std::string reason;
    std::string at;  ///< RFC 3339
  };
  base::result<std::vector<quarantined_entry>> quarantined(int max = 100);
  /// As of the last call that ended; never waits for the disk.
  spool_stats stats() const;

 private:
  struct database;
  explicit spool(std::unique_ptr<database> opened, spool_options options);
  struct taken_out {
    std::uint64_t bytes = 0;
    std::uint64_t quarantined = 0;
  };
  taken_out take_out_gone();
  void forget_gone(const taken_out& what);
  void tidy_now();

  /// Makes what a call did visible to `stats` when it ends.
  class told_at_the_end;

  spool_options options_;
  std::mutex mutex_;  ///< one call at a time
  std::unique_ptr<database> database_;
  spool_stats stats_;
  mutable std::mutex told_mutex_;
  spool_stats told_;
  std::map<std::int64_t, std::optional<std::string>> gone_;  ///< still on the disk; with a reason: to be set aside
};

}  // namespace fleet::quantumflow
