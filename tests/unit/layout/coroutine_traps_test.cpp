#include "tests/unit/layout/coroutine_traps.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/layout/source_tree.hpp"

using namespace fleet::layout;

namespace {

std::string found_in(const std::string& statements) {
  std::string all;
  for (const auto& each : find_traps("awaitable<void> f(int a) {\n" + statements + "\n}\n"))
    all += (all.empty() ? "" : ", ") + each.what;
  return all;
}

}  // namespace

TEST_CASE("coroutine traps: lambdas that capture are found in the expression of a co_await") {
  CHECK(found_in("co_await run([x] { return x; });") == "capturing lambda");
  CHECK(found_in("co_await run([&]() -> awaitable<void> { co_return; });") == "capturing lambda");
  CHECK(found_in("auto r = co_await pool.post(executor, [s = std::move(s)]() { work(s); });") == "capturing lambda");
  CHECK(found_in("f([this] { g(); }, co_await h());") == "capturing lambda");
}

TEST_CASE("coroutine traps: braces are found in the expression of a co_await") {
  CHECK(found_in("co_await f({1, 2});") == "braces");
  CHECK(found_in("co_await f(params{.a = text});") == "braces");
  CHECK(found_in("co_return co_await query(\"select 1\", {a});") == "braces");
  CHECK(found_in("const auto x = f(std::string{}, co_await g());") == "braces");
  CHECK(found_in("value v{co_await g()};") == "braces");
}

TEST_CASE("coroutine traps: the conditional operator is found in the expression of a co_await") {
  CHECK(found_in("auto r = c ? co_await a() : co_await b();") == "?:, ?:");
  CHECK(found_in("co_await f(c ? text : other);") == "?:");
}

TEST_CASE("coroutine traps: conditions that await are found") {
  CHECK(found_in("if (co_await f()) g();") == "condition");
  CHECK(found_in("if (auto r = co_await f(); !r) g();") == "condition");
  CHECK(found_in("while (!co_await f(1)) {\n g();\n}") == "condition");
  CHECK(found_in("switch (co_await f()) {\n}") == "condition");
  CHECK(found_in("if (ready) co_await f();") == "");
}

TEST_CASE("coroutine traps: what is allowed raises no alarm") {
  CHECK(found_in("auto body = [x] { return x; };\nco_await run(body);") == "");
  CHECK(found_in("const params p{.a = text};\nco_await f(p);") == "");
  CHECK(found_in("const auto t = c ? a : b;\nco_await f(t);") == "");
  CHECK(found_in("co_await run([](int i) { return i ? 1 : 2; });") == "");
  CHECK(found_in("if (c ? a : b) co_await f();") == "");
  CHECK(found_in("for (auto& x : {1, 2}) co_await f(x);") == "");
  CHECK(found_in("if (x) {\n co_await f();\n} else {\n co_await g(list[i], map[\"{?\"]);\n}") == "");
  CHECK(
      found_in(
          "for (;;) {\n co_await f(\"{}\", '{');  // {?}\n auto r = co_await g();\n if (!r) co_return r.error();\n}") ==
      "");
  CHECK(found_in("co_spawn(e, [self]() -> awaitable<void> {\n co_await self->run();\n}, detached);") == "");
  CHECK(found_in("try {\n co_await f();\n} catch (...) {\n}\nif (a) {\n}\nco_await g();") == "");
  CHECK(found_in("const int limit = 10'000;\nco_await f(limit);") == "");
  CHECK(find_traps("auto l = [x]() -> awaitable<void> { co_await x->f(); };").empty());
}

TEST_CASE("coroutine traps: the line of the co_await is given") {
  const auto found = find_traps("void f() {\n  g();\n  co_await h({});\n}\n");
  REQUIRE(found.size() == 1);
  CHECK(found[0].line == 3);
}

TEST_CASE("coroutine traps: the source tree has none") {
  std::string all;
  for (const auto& file :
       files_below({"common", "singularity_agent", "centralcloud_daemon", "tests"}, {".cpp", ".hpp"}))
    for (const auto& each : find_traps(file.text))
      all += file.path + ":" + std::to_string(each.line) + ": co_await with " + each.what + "\n";
  INFO(all);
  CHECK(all.empty());
}
