// One bit of a spool's file, or of the log beside it, changes on the disk, anywhere.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "common/base/ids.hpp"
#include "common/quantumflow/spool.hpp"

using namespace fleet;
using quantumflow::spool;
using quantumflow::spool_entry;

namespace {

constexpr int entries = 30;
constexpr int flips = 400;

spool_entry entry(int n) {
  spool_entry made;
  made.kind = n % 3 == 0 ? "metrics" : "vote";
  made.key = "key-" + std::to_string(n);
  made.body = std::to_string(n) + std::string(static_cast<std::size_t>(20 + n * 10), 'x');
  made.may_be_dropped = n % 3 == 0;
  return made;
}

std::unique_ptr<spool> open(const std::filesystem::path& file) {
  quantumflow::spool_options options;
  options.path = file;
  auto opened = spool::open(std::move(options));
  if (!opened) FAIL(opened.error().message);
  return std::move(*opened);
}

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// By a process that dies with the last of them: no destructor, no close.
void append_and_die(const std::filesystem::path& file, int from, int until) {
  const pid_t child = fork();
  if (child == 0) {
    quantumflow::spool_options options;
    options.path = file;
    auto opened = spool::open(std::move(options));
    bool kept = opened.has_value();
    for (int n = from; kept && n < until; ++n) kept = (*opened)->append(entry(n)).has_value();
    ::_exit(kept ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WEXITSTATUS(status) == 0);
}

}  // namespace

TEST_CASE(
    "spool: whichever bit of its file changes, what comes out is what went in, in order, and what does not is "
    "counted") {
  const auto folder = std::filesystem::temp_directory_path() / ("spool-" + base::new_uuid());
  std::filesystem::create_directories(folder);
  std::map<std::string, spool_entry> put_in;
  {
    auto sound = open(folder / "sound.db");
    for (int n = 0; n < entries; ++n) {
      put_in[entry(n).key] = entry(n);
      REQUIRE(sound->append(entry(n)).has_value());
    }
  }
  const auto content = content_of(folder / "sound.db");
  REQUIRE(content.find("29xxx") != std::string::npos);
  std::mt19937 random(2026);
  int lost = 0, set_aside = 0, damaged = 0;
  for (int flip = 0; flip < flips; ++flip) {
    const auto at = random() % content.size();
    const int bit = static_cast<int>(random() % 8);
    auto changed = content;
    changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
    const auto file = folder / ("flipped-" + std::to_string(flip)) / "spool.db";
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << changed;
    CAPTURE(at, bit);
    auto opened = open(file);
    const auto found = opened->oldest(1000);
    REQUIRE(found.has_value());
    std::int64_t last = 0;
    int last_n = -1;
    for (const auto& each : *found) {
      CHECK(each.sequence > last);
      last = each.sequence;
      const auto known = put_in.find(each.key);
      REQUIRE(known != put_in.end());
      CHECK(each.kind == known->second.kind);
      CHECK(each.body == known->second.body);
      CHECK(each.may_be_dropped == known->second.may_be_dropped);
      const int n = std::stoi(each.key.substr(4));
      CHECK(n > last_n);
      last_n = n;
    }
    const auto stats = opened->stats();
    const auto accounted = found->size() + stats.quarantined_total + stats.unreadable_total;
    CHECK(accounted >= entries);
    CHECK(opened->append(entry(entries)).value() > entries);
    lost += static_cast<int>(stats.unreadable_total);
    set_aside += static_cast<int>(stats.quarantined_total);
    damaged += std::filesystem::exists(file.string() + ".damaged-1");
    opened.reset();
    std::filesystem::remove_all(file.parent_path());
  }
  INFO(flips << " flips: " << set_aside << " set aside, " << damaged << " files damaged, " << lost << " unreadable");
  CHECK(set_aside > flips / 10);
  CHECK(damaged > 0);
  CHECK(lost < 2 * damaged);
  std::filesystem::remove_all(folder);
}

TEST_CASE("spool: whichever bit of the log of a process that was killed changes, nothing is lost") {
  const auto folder = std::filesystem::temp_directory_path() / ("spool-" + base::new_uuid());
  std::filesystem::create_directories(folder);
  const auto sound = folder / "sound.db";
  SECTION("of the first process") {
    append_and_die(sound, 0, entries);
  }
  SECTION("of one that found what another had left") {
    append_and_die(sound, 0, entries - 1);
    append_and_die(sound, entries - 1, entries);
  }
  const auto content = content_of(sound);
  const auto log = content_of(sound.string() + "-wal");
  REQUIRE(!log.empty());
  constexpr std::size_t header_bits = 32 * 8;
  std::mt19937 random(2026);
  for (std::size_t flip = 0; flip < header_bits + flips; ++flip) {
    const auto bit = flip < header_bits ? flip : random() % (log.size() * 8);
    auto changed = log;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const auto file = folder / ("flipped-" + std::to_string(flip)) / "spool.db";
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    std::ofstream(file.string() + "-wal", std::ios::binary) << changed;
    CAPTURE(bit, log.size());
    auto opened = open(file);
    const auto found = opened->oldest(1000);
    REQUIRE(found.has_value());
    REQUIRE(found->size() == entries);
    for (int n = 0; n < entries; ++n) CHECK((*found)[static_cast<std::size_t>(n)].body == entry(n).body);
    CHECK(opened->append(entry(entries)).value() == entries + 1);
    opened.reset();
    std::filesystem::remove_all(file.parent_path());
  }
  std::filesystem::remove_all(folder);
}
