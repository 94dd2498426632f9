#include <catch2/catch.hpp>

#include "tests/support/fleet_database.hpp"
#include "tests/support/queue_torture.hpp"

using namespace fleet::test;

TEST_CASE("queue: each committed message is handled once by each group and in order per key, whatever happens") {
  torture_options how;
  how.url = fleet_database("queue_torture");
  const auto account = torture_queue(how);
  INFO(account.text());
  CHECK(account.drained);
  CHECK(account.missing == 0);
  CHECK(account.duplicate == 0);
  CHECK(account.phantom == 0);
  CHECK(account.out_of_order == 0);
  CHECK(account.handled == account.messages * account.groups);
  CHECK(account.published_total == account.messages);
  CHECK(account.left == 0);
  // It was the torture that it says it is.
  CHECK(account.messages > 1000);
  CHECK(account.truncated > 0);
  CHECK(account.moved_to_backlog > 0);
  CHECK(account.lost_connections > 20);
  CHECK(account.republished > 20);
  CHECK(account.failed > 0);
}
