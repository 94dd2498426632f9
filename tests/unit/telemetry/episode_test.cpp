#include "common/telemetry/episode.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace fleet;
using namespace std::chrono_literals;

namespace {

struct told {
  std::vector<std::string> lines;
  telemetry::episode trouble{
      telemetry::logger::to_sink([this](std::string_view line) { lines.emplace_back(line); },
                                 {telemetry::log_level::info, telemetry::log_format::text, false}),
      "away", "back", "it is back"};
};

bool has(const std::string& line, const std::string& part) {
  return line.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("episode: the first occurrence is told, then one a minute with the count, then the end with its length") {
  told with;
  const auto began = std::chrono::steady_clock::now();
  for (int second = 0; second < 150; ++second)
    for (int worker = 0; worker < 4; ++worker)
      with.trouble.occurred("no route", "w", began + std::chrono::seconds(second));
  CHECK(with.trouble.under_way());
  with.trouble.over(began + 150s);
  with.trouble.over(began + 151s);
  REQUIRE(with.lines.size() == 4);
  CHECK((has(with.lines[0], "away") && has(with.lines[0], "no route") && has(with.lines[0], "occurrences=1")));
  CHECK((has(with.lines[1], "occurrences=241") && has(with.lines[1], "seconds=60")));
  CHECK((has(with.lines[3], "back") && has(with.lines[3], "occurrences=600") && has(with.lines[3], "seconds=150")));
  CHECK_FALSE(with.trouble.under_way());
}

TEST_CASE("episode: one that comes and goes is told of once a minute") {
  told with;
  const auto began = std::chrono::steady_clock::now();
  for (int second = 0; second < 300; second += 2) {
    with.trouble.occurred("flaps", "w", began + std::chrono::seconds(second));
    with.trouble.over(began + std::chrono::seconds(second + 1));
  }
  CHECK(with.lines.size() == 10);
}
