#include "common/messages/git_change.hpp"

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "common/base/json.hpp"

using namespace fleet;
using namespace fleet::messages;
using namespace std::string_literals;
using Catch::Matchers::Contains;

namespace {

boost::json::object parse(std::string_view text) {
  return base::parse_json_object(text).value();
}

using paths = std::vector<std::string>;

base::result<paths> paths_of_patch(std::string patch) {
  git_change change;
  change.patch = std::move(patch);
  return paths_of(change);
}

const std::string modify =
    "diff --git a/src/a.txt b/src/a.txt\nindex 1234567..89abcde 100644\n--- a/src/a.txt\n+++ b/src/a.txt\n"
    "@@ -1,2 +1,2 @@ context\n one\n-two\n+three\n";

}  // namespace

TEST_CASE("git change: a patch or files, with base and message") {
  const auto patch = parse_git_change(parse(R"({"patch":"--- a/x","base":"HEAD~1","message":"why","own":1})"));
  REQUIRE(patch.has_value());
  CHECK(patch->patch == "--- a/x");
  CHECK(patch->base == "HEAD~1");
  CHECK(patch->message == "why");
  const auto files = parse_git_change(parse(R"({"files":{"a/b.txt":"new\n","gone":null,"empty":""}})"));
  REQUIRE(files.has_value());
  CHECK(files->files ==
        std::map<std::string, std::optional<std::string>>{{"a/b.txt", "new\n"}, {"empty", ""}, {"gone", std::nullopt}});
  CHECK(paths_of(*files).value() == paths{"a/b.txt", "empty", "gone"});
}

TEST_CASE("git change: what is no such object is refused with the field") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"({})", "code_change"},
      {R"({"command":"x"})", "code_change"},
      {R"({"patch":"x","files":{"a":"b"}})", "code_change"},
      {R"({"patch":5})", "code_change.patch"},
      {R"({"patch":""})", "code_change.patch"},
      {R"({"patch":" \n "})", "code_change.patch"},
      {R"({"files":[]})", "code_change.files"},
      {R"({"files":{}})", "code_change.files"},
      {R"({"files":{"a":5}})", "code_change.files.a"},
      {R"({"files":{"../a":"x"}})", "code_change.files.../a"},
      {R"({"files":{"/etc/passwd":"x"}})", "code_change.files./etc/passwd"},
      {R"({"files":{"a":"x"},"base":"--upload-pack=x"})", "code_change.base"},
      {R"({"files":{"a":"x"},"base":"a b"})", "code_change.base"},
      {R"({"files":{"a":"x"},"base":"a..b"})", "code_change.base"},
      {R"({"files":{"a":"x"},"base":5})", "code_change.base"},
      {R"({"files":{"a":"x"},"message":5})", "code_change.message"},
  };
  for (const auto& [text, field] : cases) {
    CAPTURE(text);
    const auto change = parse_git_change(parse(text));
    REQUIRE(change.has_error());
    CHECK(change.error().fields.front().field == field);
  }
}

TEST_CASE("git change: the paths of a patch are all names in it") {
  const std::vector<std::pair<std::string, paths>> cases{
      {modify, {"src/a.txt"}},
      {"--- a/x.txt\n+++ b/x.txt\n@@ -1 +1 @@\n-a\n+b\n", {"x.txt"}},
      {"--- a/x.txt\t2026-01-31 12:00:00\n+++ b/x.txt\t2026-01-31 12:00:00\n@@ -1 +1 @@\n-a\n+b\n", {"x.txt"}},
      {"--- /dev/null\n+++ b/new file.txt\n@@ -0,0 +1 @@\n+b\n", {"new file.txt"}},
      {"--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n", {"old.txt"}},
      {"diff --git a/from.txt b/to.txt\nsimilarity index 100%\nrename from from.txt\nrename to sub/to.txt\n",
       {"from.txt", "sub/to.txt"}},
      {"diff --git a/a b/b\nsimilarity index 90%\ncopy from a\ncopy to b\n--- a/a\n+++ b/b\n@@ -1 +1 @@\n-x\n+y\n",
       {"a", "b"}},
      {"diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n", {"run.sh"}},
      {"diff --git a/with blank b/with blank\nnew file mode 100644\nindex 0000000..e69de29\n", {"with blank"}},
      {"diff --git \"a/\\303\\251.txt\" \"b/\\303\\251.txt\"\n--- \"a/\\303\\251.txt\"\n+++ \"b/\\303\\251.txt\"\n@@ "
       "-1 +1 @@\n-x\n+y\n",
       {"é.txt"}},
      {"diff --git \"a/\\303\\251\" \"b/\\303\\251\"\nnew file mode 100644\n", {"é"}},
      {modify + modify, {"src/a.txt"}},
      {modify + "diff --git a/b b/b\n--- a/b\n+++ b/b\n@@ -1 +1 @@\n-x\n+y\n--- a/c\n+++ b/c\n@@ -1 +1 @@\n-x\n+y\n",
       {"b", "c", "src/a.txt"}},
      {"From: someone\nSubject: x\n---\n a.txt | 2 +-\n\n" + modify + "-- \n2.39.5\n", {"src/a.txt"}},
      {"--- a/x\r\n+++ b/x\r\n@@ -1,2 +1,2 @@\r\n-a\r\n+b\r\n c\r\n", {"x"}},
      {"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n\n-a\n+b\n\\ No newline at end of file\n", {"x"}},
      {"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", {"x"}},
  };
  for (const auto& [patch, expected] : cases) {
    CAPTURE(patch);
    const auto found = paths_of_patch(patch);
    if (!found) FAIL(found.error().message);
    CHECK(*found == expected);
  }
}

TEST_CASE("git change: lines of a hunk that look like headers are content") {
  const auto found = paths_of_patch(
      "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n--- a/secret\n+++ b/secret\n diff --git a/y b/y\n-rename from z\n+rename to "
      "z\n");
  if (!found) FAIL(found.error().message);
  CHECK(*found == paths{"x"});
}

TEST_CASE("git change: a patch that is empty, malformed, cut short or binary is refused with a reason") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"just text\n", "no change in it"},
      {"--- a/x\n", "no change in it"},
      {"diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\nliteral 5\n", "binary"},
      {"diff --git a/x b/x\nindex 1..2\nBinary files a/x and b/x differ\n", "binary"},
      {modify.substr(0, modify.size() - 7), "cut short"},
      {"--- a/x\n+++ b/x\n@@ -1,9 +1 @@\n-a\n+b\n", "cut short"},
      {"--- a/x\n+++ b/x\n@@ nonsense @@\n-a\n+b\n", "no hunk"},
      {"--- a/x\n+++ b/x\n@@ -1,x +1 @@\n-a\n", "malformed hunk header"},
      {"--- a/x\n+++ b/x\n@@ -1 +1 @@\nxyz\n", "expected a line of the hunk"},
      {"--- a/x\n+++ b/x\n@@ -1,99999999999999999999 +1 @@\n-a\n", "malformed hunk header"},
      {"--- a/x\n+++ b/x\n@@ -0,0 +0,0 @@\n", "empty hunk"},
      {"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-a\n+b\n", "more lines than its header says"},
      {"@@ -1 +1 @@\n-a\n+b\n", "without the --- and +++"},
      {"--- a/x\n+++ b/x\n", "no hunk"},
      {"diff --git a/x b/x\nindex 1..2 100644\n", "no change"},
      {"diff --git a/x b/y\nnew file mode 100644\n", "cannot tell the name"},
      {"--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", "/dev/null"},
      {"--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "leading a/ and b/"},
      {"--- \"a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "malformed file name"},
      {"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n", "symbolic links"},
      {"diff --git a/l b/l\nindex 1..2 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-a\n+/etc\n", "symbolic links"},
      {"diff --git a/m b/m\nnew file mode 160000\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+Subproject commit 1\n",
       "submodules"},
  };
  for (const auto& [patch, reason] : cases) {
    CAPTURE(patch);
    const auto found = paths_of_patch(patch);
    REQUIRE(found.has_error());
    CHECK(found.error().kind == base::error_kind::invalid_input);
    CHECK(found.error().fields.front().field == "code_change.patch");
    CHECK_THAT(found.error().message, Contains(reason));
  }
  CHECK(paths_of(git_change{}).has_error());
}

TEST_CASE("git change: a patch that leads outside, by any of its names, is refused") {
  for (const auto* name : {"../x", "a/../../x", ".git/config", "sub/.GIT/hooks/x", "a//b"}) {
    const auto n = std::string(name);
    for (const auto& patch :
         {"--- a/" + n + "\n+++ b/ok\n@@ -1 +1 @@\n-a\n+b\n", "--- a/ok\n+++ b/" + n + "\n@@ -1 +1 @@\n-a\n+b\n",
          "diff --git a/" + n + " b/" + n + "\nnew file mode 100644\n",
          "diff --git a/x b/y\nrename from ok\nrename to " + n + "\n",
          "diff --git a/x b/y\ncopy from " + n + "\ncopy to ok\n",
          "diff --git a/x b/x\n--- \"a/" + n + "\"\n+++ \"b/ok\"\n@@ -1 +1 @@\n-a\n+b\n"}) {
      CAPTURE(patch);
      const auto found = paths_of_patch(patch);
      REQUIRE(found.has_error());
      CHECK_THAT(found.error().message, Contains("is not taken"));
    }
  }
  CHECK(paths_of_patch("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n").has_error());
}

TEST_CASE("git change: a path stays inside the repository") {
  for (const auto& good : {"a"s, "a/b.txt"s, "a..b"s, "..."s, ".gitignore"s, ".github/x"s, "with blank/é"s, "git"s,
                           "a.git/x"s, std::string(255, 'x')}) {
    CAPTURE(good);
    CHECK(check_path(good).has_value());
  }
  for (const auto& bad : {""s,
                          "/"s,
                          "/a"s,
                          "a/"s,
                          "a//b"s,
                          "."s,
                          "./a"s,
                          ".."s,
                          "../a"s,
                          "a/.."s,
                          "a/../b"s,
                          ".git"s,
                          ".git/config"s,
                          "a/.git/x"s,
                          ".GIT/x"s,
                          ".Git"s,
                          ".git./x"s,
                          ".git /x"s,
                          "GIT~1/x"s,
                          ".git::$INDEX_ALLOCATION/x"s,
                          ".g\xE2\x80\x8Cit/x"s,
                          "a\\b"s,
                          "a\nb"s,
                          "a\0b"s,
                          "a\x7F"s,
                          "\xFF"s,
                          std::string(256, 'x'),
                          std::string(5000, '/')}) {
    CAPTURE(bad);
    const auto result = check_path(bad);
    REQUIRE(result.has_error());
    CHECK(result.error().kind == base::error_kind::invalid_input);
    CHECK(result.error().message.size() < 400);
    CHECK(result.error().message.find('\n') == std::string::npos);
  }
}
