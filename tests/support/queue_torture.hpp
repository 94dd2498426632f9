// The queue under everything that may go wrong at once, with an account of every message.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace fleet::test {

struct torture_options {
  std::string url;  ///< a database with the schema
  std::chrono::milliseconds duration{25'000};
  int producers = 5;
  int consumers = 2;  ///< of each of the three groups
  std::chrono::milliseconds rotation_interval{200};
  std::uint32_t seed = 1;
};

struct torture_account {
  // What happened: a run that did not do all of it has proved nothing.
  std::int64_t committed = 0, rolled_back = 0, killed = 0, lost_connections = 0, republished = 0, failed = 0;
  std::int64_t truncated = 0, moved_to_backlog = 0;
  // What was found.
  std::int64_t messages = 0, handled = 0, groups = 3;
  std::int64_t missing = 0, duplicate = 0, phantom = 0, out_of_order = 0;
  std::string late;  ///< the first of those out of order
  std::int64_t published_total = 0, left = 0;
  bool drained = false;
  std::string text() const;
};

/// Producers with savepoints, aborts and sleeps inside of their transactions; consumers of three groups, one of them
/// slow, that roll back, fail messages, and publish to the stream they read; sessions killed at random; rotation and
/// backlogs all the while. Blocking; ends `duration` later, after what was published has been handled (at most 60 s).
torture_account torture_queue(torture_options how);

}  // namespace fleet::test
