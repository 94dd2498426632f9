#include <catch2/catch.hpp>
#include <string>

#include "singularity_agent/execution/line_diff.hpp"

using fleet::agent::execution::line_diff;

namespace {

std::string numbered(int from, int to) {
  std::string text;
  for (int i = from; i <= to; ++i) text += "line " + std::to_string(i) + "\n";
  return text;
}

}  // namespace

TEST_CASE("line_diff: what is equal has no hunks") {
  CHECK(line_diff("", "") == "");
  CHECK(line_diff("a\nb\n", "a\nb\n") == "");
}

TEST_CASE("line_diff: a changed line, with what is around it") {
  CHECK(line_diff("a\nb\nc\n", "a\nB\nc\n") == "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
  CHECK(line_diff("greeting=hi\n", "greeting=hello\n") == "@@ -1 +1 @@\n-greeting=hi\n+greeting=hello\n");
}

TEST_CASE("line_diff: a file that appears, and one that goes") {
  CHECK(line_diff("", "a\nb\n") == "@@ -0,0 +1,2 @@\n+a\n+b\n");
  CHECK(line_diff("a\n", "") == "@@ -1 +0,0 @@\n-a\n");
}

TEST_CASE("line_diff: the end of the last line counts") {
  CHECK(line_diff("a\n", "a") == "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
}

TEST_CASE("line_diff: changes far from each other are hunks of their own, near ones share one") {
  auto after = numbered(1, 30);
  after.replace(after.find("line 5\n"), 7, "five\n");
  after.replace(after.find("line 20\n"), 8, "twenty\nand more\n");
  CHECK(
      line_diff(numbered(1, 30), after) ==
      "@@ -2,7 +2,7 @@\n line 2\n line 3\n line 4\n-line 5\n+five\n line 6\n line 7\n line 8\n"
      "@@ -17,7 +17,8 @@\n line 17\n line 18\n line 19\n-line 20\n+twenty\n+and more\n line 21\n line 22\n line 23\n");
  auto near = numbered(1, 30);
  near.replace(near.find("line 5\n"), 7, "five\n");
  near.replace(near.find("line 12\n"), 8, "twelve\n");
  const auto hunks = line_diff(numbered(1, 30), near);
  CHECK(hunks.starts_with("@@ -2,14 +2,14 @@\n"));
  CHECK(hunks.find("@@", 5) == hunks.rfind(" @@\n") + 1);
}

TEST_CASE("line_diff: its hunks lead from the first text to the second, whatever the two are") {
  // Of texts over a small alphabet every kind of overlap comes up; the hunks are followed here as a patch program
  // would.
  unsigned seed = 7;
  const auto next = [&seed](unsigned below) { return (seed = seed * 1103515245U + 12345U) / 65536U % below; };
  for (int round = 0; round < 500; ++round) {
    std::string texts[2];
    for (auto& text : texts) {
      for (auto lines = next(14); lines > 0; --lines) text += std::string(1, static_cast<char>('a' + next(3))) + "\n";
    }
    CAPTURE(texts[0], texts[1]);
    std::string made;
    std::size_t at = 0;
    const auto hunks = line_diff(texts[0], texts[1]);
    for (std::size_t from = 0; from < hunks.size();) {
      const auto end = hunks.find('\n', from) + 1;
      const auto line = hunks.substr(from, end - from);
      from = end;
      if (line[0] == '@') {
        // "-3,2": lines are two bytes here.
        const auto first = std::stoul(line.substr(4));
        const bool empty = line.substr(4, line.find(' ', 4) - 4).ends_with(",0");
        const auto start = (empty ? first : first - 1) * 2;
        made += texts[0].substr(at, start - at);
        at = start;
        continue;
      }
      if (line[0] != '+') {
        REQUIRE(texts[0].substr(at, 2) == line.substr(1));
        at += 2;
      }
      if (line[0] != '-') made += line.substr(1);
    }
    made += texts[0].substr(at);
    REQUIRE(made == texts[1]);
  }
}

TEST_CASE("line_diff: long texts that have nothing in common are not compared line by line") {
  const auto hunks = line_diff(numbered(1, 3000), numbered(10001, 13000));
  CHECK(hunks.starts_with("@@ -1,3000 +1,3000 @@\n-line 1\n"));
}
