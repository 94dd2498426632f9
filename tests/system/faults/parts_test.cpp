// The parts of the suite: each does what the runs rely on.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "common/postgres/error.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/system/faults/campaign.hpp"
#include "tests/system/faults/proxy.hpp"
#include "tests/system/faults/sql_session.hpp"
#include "tests/system/faults/variants.hpp"
#include "tests/system/faults/wire.hpp"

using namespace fleet::test;
using namespace fleet::test::faults;
using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

namespace {

/// A message as the server writes it.
std::string server_message(char type, const std::string& body) {
  const auto length = body.size() + 4;
  std::string out(1, type);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(length >> static_cast<unsigned>(shift) & 0xffU);
  return out + body;
}

struct proxied {
  proxied() : proxy(private_postgres::shared().port()), port(proxy.open("door")) {}
  std::string url() const {
    return fmt::format("postgresql://postgres:secret@127.0.0.1:{}/postgres?sslmode=disable", port);
  }
  fault_proxy proxy;
  int port;
};

milliseconds time_of(const std::function<void()>& what) {
  const auto began = steady::now();
  what();
  return std::chrono::duration_cast<milliseconds>(steady::now() - began);
}

}  // namespace

TEST_CASE("wire: the reply to COMMIT is found however the bytes are cut") {
  const auto before = server_message('D', std::string(700, 'x')) + server_message('C', std::string("SELECT 1\0", 9));
  const auto stream = before + server_message('C', std::string("COMMIT\0", 7)) + server_message('Z', "I");
  for (std::size_t size = 1; size < stream.size(); size += 7) {
    message_scanner scanner(false);
    std::size_t found = 0, begins = 0;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      for (const auto& each : scanner.feed(stream.substr(at, size))) {
        if (!is_commit_reply(each)) continue;
        ++found;
        begins = at + each.begin;
      }
    }
    CAPTURE(size, begins, before.size());
    CHECK(found == 1);
    // Nothing of it is forwarded but what an earlier chunk held.
    CHECK((begins >= before.size() || size < 12 + before.size()));
    if (size == stream.size()) CHECK(begins == before.size());
  }
  message_scanner client(true);
  const auto startup = std::string("\0\0\0\x08\0\3\0\0", 8);
  const auto parsed = server_message('P', std::string("s1\0LISTEN \"a\"\0\0\0", 16));
  const auto seen = client.feed(startup + parsed);
  REQUIRE(seen.size() == 2);
  CHECK_FALSE(is_listen(seen[0]));
  CHECK(is_listen(seen[1]));
}

TEST_CASE("proxy: each fault does to a session what it says") {
  proxied through;
  sql_session sql(through.url());
  const auto select = [&] { CHECK(sql.value("select 1 + 1") == "2"); };
  select();

  through.proxy.set("door", link_fault::delay);
  CHECK(time_of(select) >= milliseconds(350));  // there and back
  through.proxy.set("door", link_fault::trickle);
  select();

  through.proxy.set("door", link_fault::reset);
  CHECK_THROWS_AS(sql.query("select 1"), not_sent);
  through.proxy.clear();
  select();

  through.proxy.set("door", link_fault::half_open);
  CHECK_THROWS_AS(sql.query("select 1", {}), fleet::postgres::sql_error);
  select();  // a new connection

  through.proxy.set("door", link_fault::black_hole);
  CHECK_THROWS_AS(sql.query("select 1"), fleet::postgres::sql_error);
  CHECK_THROWS_AS(sql.query("select 1"), not_sent);
  through.proxy.clear();
  select();
  CHECK_THROWS_WITH(through.proxy.set("window", link_fault::reset), Catch::Contains("window"));
}

TEST_CASE("proxy: a transaction whose COMMIT got no reply has happened") {
  proxied through;
  sql_session sql(through.url());
  sql.query("drop table if exists proxy_commit");
  sql.query("create table proxy_commit (n int)");
  through.proxy.set("door", link_fault::drop_commit_reply);
  bool unknown = false;
  CHECK_THROWS_AS(sql.transaction([&] { sql.query("insert into proxy_commit values (1)"); }, unknown),
                  fleet::postgres::sql_error);
  CHECK(unknown);
  CHECK(through.proxy.dropped_commits() == 1);
  CHECK(sql.value("select count(*) from proxy_commit") == "1");  // statements without COMMIT go on working
  sql.query("drop table proxy_commit");
}

TEST_CASE("schedule: a seed gives the same faults again, and another one others") {
  const auto text = [](std::uint64_t seed) {
    std::string all;
    for (const auto& each : plan({seed, true, every_fault(), 2}))
      all += fmt::format("{} {} {} {};", to_string(each.kind), each.target, each.before.count(), each.lasts.count());
    return all;
  };
  CHECK(text(7) == text(7));
  CHECK(text(7) != text(8));
  for (const auto kind : every_fault()) CHECK_THAT(text(7), Catch::Contains(std::string(to_string(kind))));
  CHECK(plan({7, true, every_fault(), 2}).size() == 2 * every_fault().size());
}

TEST_CASE("variants: each names faults and invariants that there are") {
  std::set<std::string> invariants;
  for (const auto& each : load_invariants(suite_folder() + "/invariants")) invariants.insert(each.name);
  const auto variants = load_variants(suite_folder() + "/variants");
  CHECK(variants.size() >= 25);
  std::ifstream page(suite_folder() + "/README.md");
  std::map<std::string, std::string> told;  // name → its line of the table
  for (std::string line; std::getline(page, line);)
    if (line.starts_with("| `")) told[line.substr(3, line.find('`', 3) - 3)] = line;
  auto never_broken = invariants;
  for (const auto& each : variants) {
    CAPTURE(each.name);
    CHECK_FALSE(each.faults.empty());
    CHECK_FALSE(each.caught_by.empty());
    for (const auto& name : each.caught_by) {
      CHECK(invariants.count(name) == 1);
      CHECK_THAT(told[each.name], Catch::Contains("`" + name + "`"));
      never_broken.erase(name);
    }
  }
  CHECK(never_broken == std::set<std::string>());
}
