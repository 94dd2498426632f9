// The queue's torture test for longer: prints the account of every run of a minute, and ends with 1 at the first that
// is wrong.
//   queue_torture [--minutes N]      default 10
#include "tests/support/queue_torture.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/support/fleet_database.hpp"

using namespace fleet::test;

int main(int argc, char** argv) {
  int minutes = 10;
  if (argc == 3 && std::strcmp(argv[1], "--minutes") == 0) minutes = std::atoi(argv[2]);
  if (minutes < 1 || (argc != 1 && argc != 3)) {
    std::fprintf(stderr, "usage: queue_torture [--minutes N]\n");
    return 2;
  }
  for (int minute = 1; minute <= minutes; ++minute) {
    torture_options how;
    how.url = fleet_database("queue_torture");
    how.duration = std::chrono::minutes(1);
    how.seed = static_cast<unsigned>(minute);
    const auto account = torture_queue(how);
    std::printf("%d: %s\n", minute, account.text().c_str());
    std::fflush(stdout);
    const bool right = account.drained && account.missing + account.duplicate + account.phantom == 0 &&
                       account.out_of_order == 0 && account.published_total == account.messages && account.left == 0;
    if (!right) return 1;
  }
  return 0;
}
