#include "tests/unit/layout/include_rules.hpp"

#include <catch2/catch.hpp>

using namespace fleet::layout;

namespace {

const std::vector<std::string> sources = {"common", "sql", "singularity_agent", "centralcloud_daemon"};

std::string lines(const std::vector<std::string>& all) {
  std::string text;
  for (const auto& each : all) text += each + "\n";
  return text;
}

std::vector<std::string> wrong_in(const std::string& path, const std::string& include) {
  const source_file file{path, "#pragma once\n#include " + include + "\n"};
  return wrong_includes({file});
}

}  // namespace

TEST_CASE("layout: a dependency against the direction is found") {
  CHECK(wrong_in("common/base/a.hpp", "\"common/async/b.hpp\"") ==
        std::vector<std::string>{"common/base/a.hpp:2: base may not know async"});
  CHECK(wrong_in("common/async/a.hpp", "\"common/postgres/b.hpp\"").size() == 1);
  CHECK(wrong_in("common/messages/a.hpp", "\"common/config/b.hpp\"").size() == 1);
  CHECK(wrong_in("common/http/a.hpp", "\"common/quantumflow/b.hpp\"").size() == 1);
  CHECK(wrong_in("singularity_agent/a.hpp", "\"centralcloud_daemon/b.hpp\"").size() == 1);
  CHECK(wrong_in("centralcloud_daemon/api/a.hpp", "\"singularity_agent/b.hpp\"").size() == 1);
  CHECK(wrong_in("common/quantumflow/a.cpp", "<libpq-fe.h>").size() == 1);
  CHECK(wrong_in("common/base/a.cpp", "\"a.hpp\"").size() == 1);
}

TEST_CASE("layout: a dependency along the direction is no error") {
  CHECK(wrong_in("common/async/a.hpp", "\"common/base/b.hpp\"").empty());
  CHECK(wrong_in("common/postgres/a.cpp", "<libpq-fe.h>").empty());
  CHECK(wrong_in("common/quantumflow/a.cpp", "\"common/postgres/b.hpp\"").empty());
  CHECK(wrong_in("singularity_agent/voting/a.cpp", "\"singularity_agent/proposals/b.hpp\"").empty());
  CHECK(wrong_in("centralcloud_daemon/a.cpp", "\"sql/migrations.hpp\"").empty());
}

TEST_CASE("layout: a pure file that reaches Asio, libpq or a clock is found") {
  const source_file direct{"singularity_agent/proposals/states.cpp", "#include <boost/asio/awaitable.hpp>\n"};
  CHECK(impure_files({direct}).size() == 1);
  const source_file through{"centralcloud_daemon/guardian/rules.hpp", "#include \"common/async/wait.hpp\"\n"};
  const source_file header{"common/async/wait.hpp", "#include <boost/asio/steady_timer.hpp>\n"};
  CHECK(impure_files({through, header}).size() == 1);
  const source_file clock{"common/async/backoff.cpp", "auto t = std::chrono::steady_clock::now();\n"};
  CHECK(impure_files({clock}).size() == 1);
  const source_file other{"common/async/wait.cpp", "#include <boost/asio/steady_timer.hpp>\n"};
  CHECK(impure_files({other}).empty());
}

TEST_CASE("layout: the source tree keeps the direction of dependencies") {
  const auto wrong = wrong_includes(files_below(sources, {".cpp", ".hpp"}));
  INFO(lines(wrong));
  CHECK(wrong.empty());
}

TEST_CASE("layout: the pure files of the source tree are pure") {
  const auto impure = impure_files(files_below(sources, {".cpp", ".hpp"}));
  INFO(lines(impure));
  CHECK(impure.empty());
}

TEST_CASE("layout: every quoted include of the source tree names a file of it") {
  std::string missing;
  for (const auto& file :
       files_below({"common", "sql", "singularity_agent", "centralcloud_daemon", "tests"}, {".cpp", ".hpp"}))
    for (const auto& line : includes_of(file.text))
      if (line.quoted && !exists(line.target))
        missing += file.path + ":" + std::to_string(line.line) + ": " + line.target + "\n";
  INFO(missing);
  CHECK(missing.empty());
}
