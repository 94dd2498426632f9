// Many proposals at once through the sockets of three real agents: how long each takes to be decided and applied, how
// long a message of each queue waits, and that nothing was lost or done twice.
//   load_bench [--statements] [COUNT]...        10 100 1000 where none is given
//     --statements   also the statements that took the server longest (slows it by a few percent)
// PostgreSQL runs with fsync. Exit 1 where something was lost or done twice.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "tests/bench/load_bench/accounts.hpp"
#include "tests/bench/load_bench/every_queue.hpp"
#include "tests/bench/load_bench/load.hpp"

using namespace fleet::bench;

namespace {

constexpr int most_proposals = 5'000;

int usage() {
  std::fprintf(stderr, "usage: load_bench [--statements] [COUNT]..., counts of 1 to %d\n", most_proposals);
  return 2;
}

bool measure(const std::vector<int>& counts, bool statements) {
  bool right = true;
  for (const int count : counts) {
    const auto fleet = make_fleet("load_bench_" + std::to_string(count));
    if (statements) fleet->psql("create extension pg_stat_statements");
    const auto run = run_load(*fleet, count);
    print_delays(*fleet, run);
    right = print_accounts(*fleet, run) && right;
    use_every_queue(*fleet, run);
    print_waits(*fleet);
    if (statements) print_statements(*fleet);
    std::printf("\n");
    std::fflush(stdout);
  }
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> counts;
  bool statements = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    int count = 0;
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), count);
    if (word == "--statements") {
      statements = true;
    } else if (parsed.ec != std::errc() || parsed.ptr != word.data() + word.size() || count < 1 ||
               count > most_proposals) {
      return usage();
    } else {
      counts.push_back(count);
    }
  }
  if (counts.empty()) counts = {10, 100, 1000};
  ::setenv("FLEET_TEST_FSYNC", "1", 1);
  if (statements) ::setenv("FLEET_TEST_SETTINGS", "shared_preload_libraries=pg_stat_statements", 1);
  // Caught, so that the daemons end with this: an uncaught exception runs no destructor.
  try {
    return measure(counts, statements) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load_bench: %s\n", error.what());
    return 1;
  }
}
