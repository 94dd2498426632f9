// A new file is made of a damaged one, and something ends that before it is done.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/base/ids.hpp"
#include "common/quantumflow/spool.hpp"
#include "tests/support/full_disk.hpp"

using namespace fleet;
using quantumflow::spool;
namespace fs = std::filesystem;

namespace {

constexpr int entries = 200;
constexpr std::size_t page = 4096;

base::result<std::unique_ptr<spool>> try_open(const fs::path& file) {
  quantumflow::spool_options options;
  options.path = file;
  return spool::open(std::move(options));
}

std::unique_ptr<spool> open(const fs::path& file) {
  auto opened = try_open(file);
  if (!opened) FAIL(opened.error().message);
  return std::move(*opened);
}

void change_byte(const fs::path& file, std::size_t at) {
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(at));
  out.put('\xFF');
}

/// A folder with a spool of many entries, one byte of which is changed.
class damaged_spool {
 public:
  explicit damaged_spool(std::size_t at) : folder_(fs::temp_directory_path() / ("spool-" + base::new_uuid())) {
    fs::create_directories(folder_);
    {
      const auto sound = open(file());
      for (int n = 0; n < entries; ++n) {
        quantumflow::spool_entry made;
        made.kind = "vote";
        made.key = "key-" + std::to_string(n);
        made.body = std::string(3'000, 'x');
        REQUIRE(sound->append(std::move(made)).has_value());
      }
    }
    change_byte(file(), at);
  }
  ~damaged_spool() { fs::remove_all(folder_); }
  damaged_spool(const damaged_spool&) = delete;
  damaged_spool& operator=(const damaged_spool&) = delete;

  fs::path file(const std::string& suffix = "") const { return folder_ / ("spool.db" + suffix); }
  /// Names of all that is there, without SQLite's own.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& each : fs::directory_iterator(folder_)) {
      const auto name = each.path().filename().string();
      if (!name.ends_with("-wal") && !name.ends_with("-shm")) all.push_back(name);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  fs::path folder_;
};

const std::vector<std::string> put_right{"spool.db", "spool.db.damaged-1"};

/// What must have come of it, whatever was in the way.
void check_taken_over(spool& in, std::uint64_t least) {
  const auto stats = in.stats();
  CHECK(stats.entries >= least);
  CHECK(stats.unreadable_total >= 1);
  CHECK(stats.entries + stats.unreadable_total >= entries);
  CHECK(in.append({0, "vote", "one more", "", false}).value() > entries);
}

constexpr std::size_t of_first_page = 103;     // how many cells it has: the schema cannot be read
constexpr std::size_t of_a_leaf = 100 * page;  // what kind of page it is

}  // namespace

TEST_CASE("spool: a disk too full for a new file is an error that says so, and costs nothing") {
  const auto [at, least] = GENERATE(std::pair{of_first_page, 200U}, std::pair{of_a_leaf, 190U});
  CAPTURE(at);
  const damaged_spool in(at);
  const auto size = fs::file_size(in.file());
  std::vector<std::string> said;
  for (std::size_t bytes = 0; bytes < size - 2 * page; bytes += 5 * page) {
    // Nothing is checked here: the test's own output may be a file.
    const test::full_disk now(bytes);
    const auto opened = try_open(in.file());
    said.push_back(opened ? "it was opened" : opened.error().message);
  }
  for (const auto& each : said) CHECK_THAT(each, Catch::Contains("needs as much room again"));
  CHECK_THAT(said.back(), Catch::Contains("File too large"));
  CHECK(in.names() == std::vector<std::string>{"spool.db"});
  check_taken_over(*open(in.file()), least);
  CHECK(in.names() == put_right);
}

TEST_CASE("spool: a process killed while it makes a new file costs nothing") {
  int killed = 0;
  for (auto after = std::chrono::milliseconds(1);; after += std::chrono::milliseconds(3)) {
    const damaged_spool in(of_first_page);
    const pid_t child = fork();
    if (child == 0) ::_exit(try_open(in.file()).has_value() ? 0 : 1);
    std::this_thread::sleep_for(after);
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CAPTURE(after.count(), in.names());
    check_taken_over(*open(in.file()), entries);
    CHECK(in.names() == put_right);
    if (WIFEXITED(status)) break;
    ++killed;
  }
  CHECK(killed > 0);
}

TEST_CASE("spool: the new file's sequences go on where the damaged one's ended, also where it held nothing any more") {
  const damaged_spool in(of_first_page);
  {
    const auto all = open(in.file());
    std::vector<quantumflow::spool_outcome> done;
    for (int n = 1; n <= entries + 1; ++n) done.push_back({n});
    REQUIRE(all->append({0, "vote", "the last", "", false}).value() > entries);
    REQUIRE(all->settle(std::move(done)).has_value());
    REQUIRE(all->settle({{entries + 2}}).has_value());
    REQUIRE(all->stats().entries == 0);
  }
  change_byte(in.file(), of_first_page);
  CHECK(open(in.file())->append({0, "vote", "one more", "", false}).value() > entries + 1);
}

TEST_CASE("spool: a start after the damaged file was renamed, and the new one not yet, puts that in its place") {
  const damaged_spool in(of_first_page);
  REQUIRE(try_open(in.file()).has_value());
  fs::rename(in.file(), in.file(".rebuilt"));
  // The damaged file's own, which had not followed it yet.
  std::ofstream(in.file("-wal"), std::ios::binary) << "a log";
  check_taken_over(*open(in.file()), entries);
  CHECK(in.names() == put_right);
  CHECK(fs::file_size(in.file(".damaged-1-wal")) == 5);
}

TEST_CASE("spool: what an earlier try left is not taken for the new file while the damaged one is there") {
  const damaged_spool in(of_first_page);
  fs::copy_file(in.file(), in.file(".first-page"));
  { const auto empty = open(in.file(".rebuilt")); }
  std::ofstream(in.file(".rebuilt-wal"), std::ios::binary) << "a log";
  check_taken_over(*open(in.file()), entries);
  CHECK(in.names() == put_right);
  CHECK(!fs::exists(in.file(".rebuilt-wal")));
}

TEST_CASE("spool: while a new file is made another process waits, and then is refused") {
  const damaged_spool in(of_first_page);
  int other_has_ended[2];
  REQUIRE(::pipe(other_has_ended) == 0);
  for (int n = 0; n < 2; ++n) {
    if (fork() != 0) continue;
    ::close(other_has_ended[1]);
    const auto opened = try_open(in.file());
    pollfd until{other_has_ended[0], POLLIN, 0};
    if (opened) ::poll(&until, 1, 30'000);  // its end of the pipe is the parent's alone
    ::_exit(opened ? 0 : 1);
  }
  int opened = 0;
  for (int n = 0; n < 2; ++n) {
    int status = 0;
    REQUIRE(::wait(&status) > 0);
    opened += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (n == 0) ::close(other_has_ended[1]);
  }
  ::close(other_has_ended[0]);
  CHECK(opened == 1);
  check_taken_over(*open(in.file()), entries);
  CHECK(in.names() == put_right);
}
