#include "common/quantumflow/spool.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "common/base/ids.hpp"
#include "tests/support/full_disk.hpp"

using namespace fleet;
using quantumflow::spool;
using quantumflow::spool_entry;
using quantumflow::spool_options;

namespace {

class folder {
 public:
  folder() : path_(std::filesystem::temp_directory_path() / ("spool-" + base::new_uuid())) {
    std::filesystem::create_directories(path_);
  }
  ~folder() { std::filesystem::remove_all(path_); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  std::filesystem::path file() const { return path_ / "spool.db"; }
  bool has_damaged() const { return std::filesystem::exists(path_ / "spool.db.damaged-1"); }

 private:
  std::filesystem::path path_;
};

std::unique_ptr<spool> open(const folder& in, std::uint64_t max_bytes = 1U << 20) {
  spool_options options;
  options.path = in.file();
  options.max_bytes = max_bytes;
  auto opened = spool::open(std::move(options));
  if (!opened) FAIL(opened.error().message);
  return std::move(*opened);
}

spool_entry entry(int n, std::size_t size = 10, bool may_be_dropped = false) {
  spool_entry made;
  made.kind = may_be_dropped ? "metrics" : "vote";
  made.key = "key-" + std::to_string(n);
  made.body = std::to_string(n) + std::string(size, 'x');
  made.may_be_dropped = may_be_dropped;
  return made;
}

/// Takes everything out, oldest first: the keys.
std::vector<std::string> drain(spool& from) {
  std::vector<std::string> keys;
  for (;;) {
    const auto next = from.oldest(2);
    REQUIRE(next.has_value());
    if (next->empty()) return keys;
    std::vector<quantumflow::spool_outcome> done;
    for (const auto& each : *next) {
      keys.push_back(each.key);
      done.push_back({each.sequence});
    }
    REQUIRE(from.settle(std::move(done)).has_value());
  }
}

/// Overwrites the first place where `text` stands in the file.
void flip(const std::filesystem::path& file, const std::string& text) {
  std::string content;
  {
    std::ifstream in(file, std::ios::binary);
    content.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto at = content.find(text);
  REQUIRE(at != std::string::npos);
  content[at + text.size() / 2] ^= 0x20;
  std::ofstream(file, std::ios::binary) << content;
}

std::string key_of_oldest(spool& in) {
  const auto found = in.oldest(1);
  return found && !found->empty() ? found->front().key : "none";
}

}  // namespace

TEST_CASE("spool: entries come out in the order they went in, also after it was opened again") {
  const folder in;
  {
    auto first = open(in);
    for (int n = 0; n < 5; ++n) CHECK(first->append(entry(n)).value() == n + 1);
    CHECK(first->stats().entries == 5);
  }
  auto again = open(in);
  CHECK(again->stats().entries == 5);
  const auto front = again->oldest(1).value();
  REQUIRE(front.size() == 1);
  CHECK(front[0].kind == "vote");
  CHECK(front[0].body == "0xxxxxxxxxx");
  CHECK(drain(*again) == std::vector<std::string>{"key-0", "key-1", "key-2", "key-3", "key-4"});
  CHECK(again->stats().entries == 0);
  CHECK(again->stats().bytes == 0);
  CHECK(again->append(entry(9)).value() == 6);  // a sequence is never used twice
}

TEST_CASE("spool: what was appended survives a process that dies at once") {
  const folder in;
  const pid_t child = fork();
  if (child == 0) {
    spool_options options;
    options.path = in.file();
    auto opened = spool::open(std::move(options));
    const bool kept = opened && (*opened)->append(entry(1)) && (*opened)->append(entry(2));
    ::_exit(kept ? 0 : 1);  // no destructor, no close
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WEXITSTATUS(status) == 0);
  auto after = open(in);
  CHECK(drain(*after) == std::vector<std::string>{"key-1", "key-2"});
}

TEST_CASE("spool: when it is full, metrics make room, the oldest first, and nothing else does") {
  const folder in;
  auto small = open(in, 450);
  REQUIRE(small->append(entry(1, 100, true)).has_value());
  REQUIRE(small->append(entry(2, 100)).has_value());
  REQUIRE(small->append(entry(3, 100, true)).has_value());
  REQUIRE(small->append(entry(4, 150)).has_value());
  CHECK(small->stats().dropped_total == 1);
  REQUIRE(small->append(entry(5, 100)).has_value());
  CHECK(small->stats().dropped_total == 2);
  const auto refused = small->append(entry(6, 100));
  REQUIRE(refused.has_error());
  CHECK(refused.error().kind == base::error_kind::unavailable);
  CHECK_THAT(refused.error().message, Catch::Contains("spool: full"));
  CHECK(small->stats().entries == 3);
  CHECK(drain(*small) == std::vector<std::string>{"key-2", "key-4", "key-5"});
}

TEST_CASE("spool: an entry whose bytes changed is set aside, and the rest goes on") {
  const folder in;
  {
    auto before = open(in);
    for (int n = 0; n < 3; ++n) REQUIRE(before->append(entry(n, 40)).has_value());
  }
  flip(in.file(), "1" + std::string(40, 'x'));
  auto after = open(in);
  CHECK(drain(*after) == std::vector<std::string>{"key-0", "key-2"});
  CHECK(after->stats().quarantined_total == 1);
  const auto aside = after->quarantined().value();
  REQUIRE(aside.size() == 1);
  CHECK(aside[0].entry.key == "key-1");
  CHECK(aside[0].reason == "its checksum is wrong");
}

TEST_CASE("spool: of a damaged file what can be read is taken over, and the file kept aside") {
  const folder in;
  {
    auto before = open(in, 1U << 24);
    for (int n = 0; n < 200; ++n) REQUIRE(before->append(entry(n, 3'000)).has_value());
  }
  {
    std::fstream file(in.file(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(in.file()) / 2) / 4096 * 4096);
    file << std::string(8'192, '\xFF');
  }
  auto after = open(in, 1U << 24);
  CHECK(in.has_damaged());
  const auto keys = drain(*after);
  INFO(keys.size() << " of 200 taken over, " << after->stats().unreadable_total << " unreadable");
  CHECK(keys.size() >= 150);
  CHECK(keys.size() + after->stats().unreadable_total == 200);
  CHECK(std::is_sorted(keys.begin(), keys.end(),
                       [](const auto& a, const auto& b) { return std::stoi(a.substr(4)) < std::stoi(b.substr(4)); }));
  CHECK(after->append(entry(1'000)).value() > 200 - 10);
}

TEST_CASE("spool: a file that is no spool at all is kept aside, and a fresh one begun") {
  const folder in;
  std::ofstream(in.file()) << std::string(10'000, 'z');
  auto fresh = open(in);
  CHECK(in.has_damaged());
  CHECK(fresh->stats().unreadable_total == 1);
  CHECK(fresh->append(entry(1)).has_value());
}

TEST_CASE("spool: a batch is bounded in entries and in bytes, and goes on behind the last") {
  const folder in;
  auto kept = open(in, 4U << 20);
  for (int n = 0; n < 4; ++n) REQUIRE(kept->append(entry(n, n == 2 ? 1U << 20 : 300'000)).has_value());
  const auto sequences = [&](std::size_t max, std::int64_t after) {
    std::vector<std::int64_t> found;
    const auto entries = kept->oldest(max, after).value();
    for (const auto& each : entries) found.push_back(each.sequence);
    return found;
  };
  CHECK(sequences(1, 0) == std::vector<std::int64_t>{1});
  CHECK(sequences(10, 0) == std::vector<std::int64_t>{1, 2});
  CHECK(sequences(10, 2) == std::vector<std::int64_t>{3});  // larger than a batch may be, and still not passed over
  CHECK(sequences(10, 3) == std::vector<std::int64_t>{4});
  REQUIRE(kept->settle({{1}, {3, "refused"}, {7}}).has_value());
  CHECK(sequences(10, 0) == std::vector<std::int64_t>{2, 4});
  CHECK(kept->stats().entries == 2);
  CHECK(kept->quarantined().value().at(0).reason == "refused");
}

TEST_CASE("spool: quarantine keeps the reason, and no more than its bound") {
  const folder in;
  spool_options options;
  options.path = in.file();
  options.max_quarantined = 2;
  auto opened = spool::open(std::move(options)).value();
  for (int n = 0; n < 4; ++n)
    REQUIRE(opened->settle({{opened->append(entry(n)).value(), "refused " + std::to_string(n)}}).has_value());
  const auto aside = opened->quarantined().value();
  REQUIRE(aside.size() == 2);
  CHECK(aside[0].reason == "refused 3");
  CHECK(opened->stats().quarantined_total == 4);
  CHECK(opened->stats().entries == 0);
}

TEST_CASE("spool: the quarantine takes no more room than the spool may") {
  const folder in;
  spool_options options;
  options.path = in.file();
  options.max_bytes = 10'000;
  auto opened = spool::open(std::move(options)).value();
  for (int n = 0; n < 5; ++n)
    REQUIRE(opened->settle({{opened->append(entry(n, 4'000)).value(), "refused"}}).has_value());
  const auto aside = opened->quarantined().value();
  REQUIRE(aside.size() == 2);
  CHECK(aside[0].entry.sequence == 5);
  CHECK(aside[1].entry.sequence == 4);
}

TEST_CASE("spool: its log stays small, so that a nearly full disk is enough to empty it") {
  const folder in;
  const auto kept = open(in);
  for (int n = 0; n < 300; ++n) {
    const auto sequence = kept->append(entry(n, 2'000));
    REQUIRE(sequence.has_value());
    REQUIRE(kept->settle({{*sequence}}).has_value());
  }
  const auto bytes = std::filesystem::file_size(in.file().string() + "-wal");
  CAPTURE(bytes);
  CHECK(bytes < 512U * 1024);
}

TEST_CASE("spool: on a full disk what is taken out is gone, and leaves the disk once that takes writes again") {
  const folder in;
  auto kept = open(in);
  for (int n = 1; n <= 4; ++n) REQUIRE(kept->append(entry(n)).has_value());
  const auto bytes = kept->stats().bytes;
  std::vector<bool> taken;
  std::string second, third;
  quantumflow::spool_stats while_full;
  {
    // Nothing is checked here: the test's own output may be a file.
    const test::full_disk now;
    taken.push_back(kept->settle({{1}}).has_value());
    second = key_of_oldest(*kept);
    taken.push_back(kept->settle({{2, "refused"}}).has_value());
    third = key_of_oldest(*kept);
    taken.push_back(kept->tidy().has_value());
    taken.push_back(kept->append(entry(5)).has_value());
    while_full = kept->stats();
  }
  CHECK(taken == std::vector<bool>{false, false, false, false});
  CHECK(second == "key-2");
  CHECK(third == "key-3");
  CHECK(while_full.entries == 2);
  CHECK(while_full.lingering == 2);
  CHECK(while_full.bytes == bytes);

  SECTION("with the next call that writes") {
    CHECK(kept->append(entry(6)).has_value());
    CHECK(kept->stats().entries == 3);
  }
  SECTION("when it is asked to") {
    CHECK(kept->tidy().has_value());
    CHECK(kept->stats().entries == 2);
    CHECK(kept->stats().bytes < bytes);
  }
  SECTION("and not with the process: the next one gets all of them again") {
    kept.reset();
    auto next = open(in);
    CHECK(drain(*next) == std::vector<std::string>{"key-1", "key-2", "key-3", "key-4"});
    return;
  }
  CHECK(kept->stats().lingering == 0);
  CHECK(kept->stats().quarantined_total == 1);
  CHECK(kept->quarantined().value().at(0).reason == "refused");
  kept.reset();
  CHECK(drain(*open(in)).front() == "key-3");
}

TEST_CASE("spool: a second process is refused") {
  const folder in;
  auto first = open(in);
  const pid_t child = fork();
  if (child == 0) {
    spool_options options;
    options.path = in.file();
    ::_exit(spool::open(std::move(options)) ? 1 : 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("spool: several threads may append at once") {
  const folder in;
  auto shared = open(in);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&shared, t] {
      for (int n = 0; n < 25; ++n) (void)shared->append(entry(t * 100 + n));
    });
  for (auto& each : threads) each.join();
  CHECK(shared->stats().entries == 100);
  CHECK(drain(*shared).size() == 100);
}

TEST_CASE("spool: a directory that is not there is an error that names the file") {
  spool_options options;
  options.path = "/nonexistent/spool.db";
  const auto opened = spool::open(std::move(options));
  REQUIRE(opened.has_error());
  CHECK_THAT(opened.error().message, Catch::Contains("/nonexistent/spool.db"));
}
