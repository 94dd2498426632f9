#include "common/daemon/subcommands.hpp"

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <sstream>
#include <stdexcept>

#include "common/daemon/output.hpp"

using namespace fleet;

namespace {

struct fixture {
  fixture() : table("fleetd", "does things", "1.2.3") {
    daemon::subcommand vote;
    vote.name = "vote";
    vote.operands = "PROPOSAL approve|reject";
    vote.sentence = "Casts a vote.";
    vote.min_operands = 2;
    vote.max_operands = 2;
    vote.prints_data = true;
    vote.options = {{"reason", "TEXT", "why"}, {"force", "", "even so"}};
    vote.handler = [this](const daemon::invocation& call) {
      seen = call;
      return daemon::exit_done;
    };
    table.add(vote);
    auto list = vote;
    list.name = "dlq list";
    list.min_operands = list.max_operands = 0;
    list.options.clear();
    table.add(list);
    auto fails = list;
    fails.name = "fails";
    fails.handler = [](const daemon::invocation&) -> int {
      throw std::runtime_error("postgresql://u:sesame@h is away");
    };
    table.add(fails);
  }

  int run(std::vector<std::string> arguments) {
    out.str("");
    err.str("");
    return table.run(arguments, out, err);
  }

  daemon::command_table table;
  daemon::invocation seen;
  std::ostringstream out;
  std::ostringstream err;
};

}  // namespace

TEST_CASE("subcommands: operands, options, settings and --json reach the handler") {
  fixture with;
  REQUIRE(with.run({"vote", "p-1", "--reason", "looks good", "approve", "--json", "--force", "--config", "a.ini",
                    "--log.level=debug"}) == 0);
  CHECK(with.seen.positionals == std::vector<std::string>{"p-1", "approve"});
  CHECK(with.seen.option("reason") == "looks good");
  CHECK(with.seen.has("force"));
  CHECK(with.seen.json);
  CHECK(with.seen.config_file == "a.ini");
  CHECK(with.seen.settings == std::vector<std::string>{"--log.level=debug"});
  REQUIRE(with.run({"dlq", "list"}) == 0);
  CHECK_FALSE(with.seen.json);
}

TEST_CASE("subcommands: operands after -- may start with dashes") {
  fixture with;
  REQUIRE(with.run({"vote", "--", "--help", "approve"}) == 0);
  CHECK(with.seen.positionals == std::vector<std::string>{"--help", "approve"});
}

TEST_CASE("subcommands: usage errors exit with 2 and say what is meant") {
  fixture with;
  CHECK(with.run({}) == 2);
  CHECK(with.run({"vot", "x"}) == 2);
  CHECK(with.err.str().find("did you mean 'vote'?") != std::string::npos);
  CHECK(with.run({"dlq", "lst"}) == 2);
  CHECK(with.err.str().find("did you mean 'dlq list'?") != std::string::npos);
  CHECK(with.run({"vote", "p-1"}) == 2);
  CHECK(with.run({"vote", "p-1", "approve", "more"}) == 2);
  CHECK(with.run({"vote", "p-1", "approve", "--raeson", "x"}) == 2);
  CHECK(with.err.str().find("did you mean --reason?") != std::string::npos);
  CHECK(with.run({"vote", "p-1", "approve", "--reason"}) == 2);
  CHECK(with.run({"vote", "p-1", "approve", "--force=yes"}) == 2);
  CHECK(with.run({"vote", "p-1", "approve", "--config"}) == 2);
  CHECK(with.out.str().empty());
}

TEST_CASE("subcommands: help and version go to standard output") {
  fixture with;
  CHECK(with.run({"--help"}) == 0);
  CHECK(with.out.str().find("vote PROPOSAL approve|reject") != std::string::npos);
  CHECK(with.run({"vote", "--help"}) == 0);
  CHECK(with.out.str().find("--reason TEXT") != std::string::npos);
  CHECK(with.run({"--version"}) == 0);
  CHECK(with.out.str() == "fleetd 1.2.3\n");
  CHECK(with.run({"nonsense", "--help"}) == 2);
}

TEST_CASE("subcommands: a handler that throws exits with 1 and hides passwords") {
  fixture with;
  CHECK(with.run({"fails"}) == 1);
  CHECK(with.err.str() == "fleetd: postgresql://u:***@h is away\n");
}

TEST_CASE("output: a table aligns by characters and shows no control characters") {
  const auto rows =
      boost::json::parse(R"([{"id":"a\u001b[31m","n":5,"x":{"y":"é"}},{"id":"long one","n":123,"x":{}},{"n":null}])")
          .as_array();
  const auto text = daemon::format_table({{"id", "ID"}, {"x.y", "XY"}, {"n", "COUNT"}}, rows);
  CHECK(text ==
        "ID        XY  COUNT\n"
        "a?[31m    é       5\n"
        "long one  -     123\n"
        "-         -       -\n");
}

TEST_CASE("output: JSON is the rows as they are") {
  std::ostringstream out;
  const auto rows = boost::json::parse(R"([{"id":1}])").as_array();
  daemon::print_rows(out, true, {{"id", "ID"}}, rows);
  CHECK(out.str() == "[{\"id\":1}]\n");
  out.str("");
  daemon::print_rows(out, false, {{"id", "ID"}}, {}, "no rows");
  CHECK(out.str() == "no rows\n");
}
