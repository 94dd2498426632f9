#include "singularity_agent/execution/change_preview.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/integration/executor/git_fixture.hpp"

using namespace fleet;
using namespace fleet::test;
namespace json = boost::json;

namespace {

struct preview_fixture {
  std::optional<json::object> of(const json::object& code_change) {
    agent::execution::git_runner runner({git.repo, "agent", "agent@localhost"});
    const agent::execution::change_preview preview(runner);
    return run(io, preview.of(code_change));
  }
  static json::object files(const std::string& text) {
    json::object change;
    change["files"] = json::parse(text);
    return change;
  }

  boost::asio::io_context io;
  git_fixture git;
};

}  // namespace

TEST_CASE("change preview: what files were, what they will be, and against which commit") {
  preview_fixture with;
  write_file(with.git.repo / "picture", std::string("\x89PNG\0\xff", 6));
  with.git.commit_all("picture");
  write_file(with.git.repo / "b.txt", "not committed\n");
  const auto preview = with.of(preview_fixture::files(
      R"({"b.txt":"two\n","src/new name.txt":"a\nb\n","src/old.txt":null,"a.txt":null,"picture":"text now\n"})"));
  REQUIRE(preview.has_value());
  CHECK(preview->at("commit").as_string() == with.git.head());
  const auto& shown = preview->at("files").as_object();
  CHECK(shown.size() == 5);
  CHECK(shown.at("b.txt") == "@@ -1 +1 @@\n-one\n+two\n");
  CHECK(shown.at("src/new name.txt") == "@@ -0,0 +1,2 @@\n+a\n+b\n");
  CHECK(std::string_view(shown.at("a.txt").as_string()).starts_with("@@ -1,20 +0,0 @@\n-"));
  CHECK(shown.at("picture").is_null());
}

TEST_CASE("change preview: against the base that the change names") {
  preview_fixture with;
  const auto base = with.git.head();
  write_file(with.git.repo / "b.txt", "later\n");
  with.git.commit_all("later");
  auto change = preview_fixture::files(R"({"b.txt":"later\n"})");
  CHECK(with.of(change)->at("files").at("b.txt") == "");
  change["base"] = base;
  const auto preview = with.of(change);
  CHECK(preview->at("commit").as_string() == base);
  CHECK(std::string_view(preview->at("files").at("b.txt").as_string()).ends_with("+later\n"));
}

TEST_CASE("change preview: none of a patch, of too much, of paths outside, nor where there is no such commit") {
  preview_fixture with;
  json::object patch;
  patch["patch"] = "--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-one\n+two\n";
  CHECK_FALSE(with.of(patch));
  CHECK_FALSE(with.of(preview_fixture::files(R"({"../b.txt":"x"})")));
  CHECK_FALSE(with.of(preview_fixture::files(R"({"b.txt":7})")));
  auto nowhere = preview_fixture::files(R"({"b.txt":"x"})");
  for (const auto* base : {"0123456789", "--all", "HEAD"}) {
    nowhere["base"] = base;
    CHECK_FALSE(with.of(nowhere));
  }
  json::object large;
  large["files"].emplace_object()["b.txt"] = std::string(agent::execution::change_preview::max_bytes + 1, 'x');
  CHECK_FALSE(with.of(large));
  // What is there now is too much, although what is to come is not.
  write_file(with.git.repo / "b.txt", std::string(agent::execution::change_preview::max_bytes * 2, 'x'));
  with.git.commit_all("large");
  CHECK_FALSE(with.of(preview_fixture::files(R"({"b.txt":"x"})")));
}
