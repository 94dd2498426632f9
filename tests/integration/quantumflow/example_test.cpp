// The example of common/quantumflow/quantumflow.hpp: what its comment shows is what is built, and it works.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "tests/support/daemons.hpp"
#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(std::string(FLEET_SOURCE_DIR "/") + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string as_comment(const std::string& program) {
  std::istringstream lines(program);
  std::string comment;
  for (std::string line; std::getline(lines, line);) comment += (line.empty() ? "//" : "//   " + line) + "\n";
  return comment;
}

}  // namespace

TEST_CASE("quantumflow.hpp: the program in its comment is the one that is built") {
  const auto program = text_of("tests/integration/quantumflow/example/main.cpp");
  REQUIRE_FALSE(program.empty());
  CHECK_THAT(text_of("common/quantumflow/quantumflow.hpp"), Catch::Contains("//\n" + as_comment(program) + "#pragma"));
}

TEST_CASE("quantumflow.hpp: the program in its comment publishes, consumes and ends") {
  const std::string name = "quantumflow_example";
  const auto url = test::fleet_database(name);
  const auto& server = test::private_postgres::shared();
  // What is made beforehand stands in the comment, too.
  std::istringstream header(text_of("common/quantumflow/quantumflow.hpp"));
  int statements = 0;
  for (std::string line; std::getline(header, line) && line != "//";) {
    if (!line.ends_with(';')) continue;
    server.psql(line.substr(2), name);
    ++statements;
  }
  CHECK(statements == 2);
  const auto program = "timeout 60 '" + test::daemon_binary("quantumflow_example") + "' '" + url + "' 2>&1";
  CHECK(test::shell(program) == R"({"customer":"c1"}: done)");
  CHECK(server.psql("select count(*), min(customer) from invoice", name) == "1|c1");
  CHECK(server.psql("select pending, consumed_total from quantumflow.get_queue_stats('orders_queue')", name) == "0|1");
  // It says what is wrong, and does not hang.
  CHECK_THAT(test::shell("timeout 60 '" + test::daemon_binary("quantumflow_example") +
                         "' 'postgresql:///nowhere?host=/nowhere' 2>&1; echo exit $?"),
             Catch::Contains("/nowhere") && Catch::EndsWith("exit 1"));
}
