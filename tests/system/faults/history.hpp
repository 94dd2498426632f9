// What was asked of the fleet, what it answered, and which faults were in force: one JSON line an entry.
#pragma once
#include <atomic>
#include <boost/json/object.hpp>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

namespace fleet::test::faults {

/// Seconds since 1970.
double now();

struct entry {
  std::string kind = "call";  ///< call, fault, recovery, resource, exit, note
  std::string who = {};       ///< the caller, or the daemon concerned
  std::string op = {};
  std::string subject = {};  ///< of a call: the id of what it is about
  /// Of a call: done (201/202, exit 0, committed), spooled, refused (4xx), unavailable (503), ambiguous (no answer: it
  /// may have happened), unsent (nobody was there to ask).
  std::string answer = {};
  boost::json::object detail = {};
  double began = 0;  ///< of a call: when it was made
};

/// Thread-safe; a line is in the file when `add` returns, so that a crash of the suite loses none.
class history {
 public:
  explicit history(std::string path);
  void add(entry what);
  const std::string& path() const { return path_; }
  std::uint64_t calls() const { return calls_; }
  /// All lines so far, as they are in the file.
  std::vector<std::string> lines() const;
  /// The lines about a subject, at most `max`.
  std::vector<std::string> about(const std::string& subject, std::size_t max) const;

 private:
  std::string path_;
  mutable std::mutex mutex_;
  std::ofstream out_;
  std::int64_t next_ = 1;
  std::atomic<std::uint64_t> calls_{0};
};

}  // namespace fleet::test::faults
