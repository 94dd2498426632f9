#include <algorithm>
#include <catch2/catch.hpp>
#include <regex>
#include <set>

#include "tests/unit/layout/source_tree.hpp"

using namespace fleet::layout;

namespace {

const std::vector<std::string> everything = {
    "common", "singularity_agent", "centralcloud_daemon", "config", "sql", "tests", "deploy"};
constexpr auto lines_limit = 400;

}  // namespace

TEST_CASE("layout: the top level holds what it should and no more") {
  const std::vector<std::string> expected = {"CMakeLists.txt",
                                             "CMakePresets.json",
                                             "README.md",
                                             "centralcloud_daemon",
                                             "common",
                                             "config",
                                             "deploy",
                                             "singularity_agent",
                                             "sql",
                                             "tests"};
  CHECK(top_level_entries() == expected);
}

TEST_CASE("layout: files stay short enough to be read in one go") {
  std::string long_ones;
  for (const auto& file : files_below(everything, {".cpp", ".hpp", ".sh"})) {
    const auto lines = std::count(file.text.begin(), file.text.end(), '\n');
    if (lines >= lines_limit) long_ones += file.path + ": " + std::to_string(lines) + " lines\n";
  }
  INFO(long_ones);
  CHECK(long_ones.empty());
}

TEST_CASE("layout: nothing is left for later") {
  // Put together here, so that this file does not find itself.
  const std::regex marker(std::string("\\b(TO") + "DO|FIX" + "ME|XX" + "X|HA" + "CK)\\b");
  std::string left;
  for (const auto& file : files_below(everything, {".cpp", ".hpp", ".sh", ".sql", ".md", ".txt", ".cmake", ".js",
                                                   ".css", ".html", ".ini", ".service"})) {
    for (auto match = std::sregex_iterator(file.text.begin(), file.text.end(), marker); match != std::sregex_iterator();
         ++match) {
      const auto at = static_cast<std::size_t>(match->position());
      if (file.text.substr(at - std::min<std::size_t>(at, 6), at).ends_with("XXXXXX")) continue;
      left += file.path + ":" + std::to_string(line_of(file.text, at)) + ": " + match->str() + "\n";
    }
  }
  INFO(left);
  CHECK(left.empty());
}

TEST_CASE("layout: comments are no banners") {
  const std::regex banner(R"((^|\n)\s*//\s*[-=*#/]{4,})");
  std::string found;
  for (const auto& file : files_below(everything, {".cpp", ".hpp"}))
    if (std::regex_search(file.text, banner)) found += file.path + "\n";
  INFO(found);
  CHECK(found.empty());
}

TEST_CASE("layout: every folder with sources says why it exists") {
  std::set<std::string> silent;
  for (const auto& file : files_below({"common", "singularity_agent", "centralcloud_daemon", "sql", "deploy", "config"},
                                      {".cpp", ".hpp", ".sh", ".sql", ".ini", ".js"})) {
    auto folder = file.path.substr(0, file.path.rfind('/'));
    if (folder == "sql/migrations") folder = "sql";
    if (folder == "centralcloud_daemon/dashboard/page")
      folder = "centralcloud_daemon/dashboard";  // all of it is served
    if (!exists(folder + "/README.md")) silent.insert(folder);
  }
  std::string all;
  for (const auto& folder : silent) all += folder + " has no README.md\n";
  INFO(all);
  CHECK(all.empty());
}

TEST_CASE("layout: headers are included once") {
  std::string unguarded;
  for (const auto& file : files_below(everything, {".hpp"}))
    if (file.text.find("#pragma once") == std::string::npos) unguarded += file.path + "\n";
  INFO(unguarded);
  CHECK(unguarded.empty());
}

TEST_CASE("source tree: code_only blanks comments, literals and preprocessor lines and keeps the lines") {
  CHECK(code_only("a; // {\nb;") == "a;     \nb;");
  CHECK(code_only("a(\"{\\\"\", '}');") == "a(\"   \", ' ');");
  CHECK(code_only("/* {\n */ x") == "    \n    x");
  CHECK(code_only("f(R\"sql({)sql\");") == "f(R\"         \");");
  CHECK(code_only("#define A \\\n {\ny") == "           \n  \ny");
  CHECK(code_only("10'000 + '{'") == "10'000 + ' '");
}
