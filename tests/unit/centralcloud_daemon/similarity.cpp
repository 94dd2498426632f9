#include "centralcloud_daemon/patterns/similarity.hpp"

#include <catch2/catch.hpp>
#include <random>

namespace {

using namespace fleet::central::patterns;
using texts = std::vector<std::string_view>;

std::string score(std::string_view a, std::string_view b, comments handling = comments::drop) {
  return similarity(a, b, handling).str();
}

std::string random_code(std::mt19937& random) {
  std::string code;
  for (auto count = random() % 60; count > 0; --count) {
    code += texts{"alpha", "beta", "(", ")", "+", "\"text\"", "7", "\n"}[random() % 8];
    code += ' ';
  }
  return code;
}

}  // namespace

TEST_CASE("similarity: tokens are words, numbers, literals and signs") {
  CHECK(tokens_of("f(x_1, 2)+ \"a b\"") == texts{"f", "(", "x_1", ",", "2", ")", "+", "\"a b\""});
  CHECK(tokens_of("'it\\'s' x") == texts{"'it\\'s'", "x"});
  CHECK(tokens_of("don't\nx") == texts{"don", "'t", "x"});
  CHECK(tokens_of("`a\nb` c") == texts{"`a\nb`", "c"});
  CHECK(tokens_of("größe") == texts{"größe"});
  CHECK(tokens_of(" \n\t ").empty());
}

TEST_CASE("similarity: comments are dropped, signs that only look like them are not") {
  CHECK(tokens_of("a // note\nb /* more\nlines */ c") == texts{"a", "b", "c"});
  CHECK(tokens_of("a # note\nb -- note\nc") == texts{"a", "b", "c"});
  CHECK(tokens_of("#include <x>\ni--;").front() == "#");
  CHECK(tokens_of("i-- ;") == texts{"i", "-", "-", ";"});
  CHECK(tokens_of("\"http://x\" y") == texts{"\"http://x\"", "y"});
  CHECK(tokens_of("a /* open") == texts{"a"});
  CHECK(tokens_of("a // b", comments::keep) == texts{"a", "/", "/", "b"});
}

TEST_CASE("similarity: layout and comments do not count") {
  CHECK(score("int f(int x) { return x; } // old", "int f(int x)\n{\n  return x;\n}") == "1");
  CHECK(score("int f(int x) { return x; } // old", "int f(int x) { return x; }", comments::keep) != "1");
}

TEST_CASE("similarity: code cannot hide behind a sign that is a comment elsewhere") {
  CHECK(score("x = a // evil()", "x = a // b", comments::drop) == "1");
  CHECK(score("x = a // evil()", "x = a // b", comments::keep) != "1");
}

TEST_CASE("similarity: shared shingles over all shingles, rounded down") {
  // abc bcd | abc bce: one of three.
  CHECK(score("a b c d", "a b c e") == "0.333333");
  CHECK(score("a b", "a b") == "1");
  CHECK(score("a b", "b a") == "0");
  CHECK(score("a", "b") == "0");
  // A bag, not a set: repetition counts.
  CHECK(score("a a a", "a a a a") == "0.5");
}

TEST_CASE("similarity: nothing resembles nothing") {
  CHECK(score("", "") == "0");
  CHECK(score("// only a comment", "// only a comment") == "0");
  CHECK(score("", "a b c") == "0");
}

TEST_CASE("similarity: symmetric, within 0 and 1, and 1 for the same code") {
  std::mt19937 random(9);
  for (int round = 0; round < 2'000; ++round) {
    const auto a = random_code(random);
    const auto b = random_code(random);
    const auto there = similarity(a, b);
    INFO(a << " | " << b);
    REQUIRE(there == similarity(b, a));
    REQUIRE(there.millionths() >= 0);
    REQUIRE(there.millionths() <= 1'000'000);
    REQUIRE(score(a, a) == (tokens_of(a).empty() ? "0" : "1"));
  }
}

TEST_CASE("similarity: above the cap only equal code is alike") {
  std::string large;
  for (std::size_t i = 0; i < max_tokens; ++i) large += "t" + std::to_string(i) + " ";
  CHECK_FALSE(shape_of(large).truncated);
  CHECK(similarity(large, large + "x").str() == "0");
  CHECK(score(large + "x", large + " x") == "1");
  CHECK(score(large + "x", large + "y") == "0");
  CHECK(shape_of(large + "x").shingles.empty());
}

TEST_CASE("similarity: the best of several, without those that are too long") {
  const std::string longest(max_compared_bytes, 'x');
  const auto best = [](const std::string& code, const std::vector<std::string>& others) {
    const auto found = best_similarity(code, others, comments::keep);
    return found ? found->str() : "none";
  };
  CHECK(best("a b c d", {"a b", "a b c e", "x"}) == "0.333333");
  CHECK(best("a b c d", {}) == "none");
  CHECK(best("a // b", {"a // c"}) == "0.333333");
  CHECK(best(longest, {longest + "x", longest}) == "1");
  CHECK(best(longest, {longest + "x"}) == "none");
  CHECK(best(longest + "x", {longest + "x"}) == "none");
}

TEST_CASE("fingerprint: follows the type and the normalized code") {
  const auto key = fingerprint("cache", "f(x) // old");
  CHECK(key.size() == 36);
  CHECK(key[14] == '5');
  CHECK(key == fingerprint("cache", " f( x )"));
  CHECK(key != fingerprint("retry", "f(x)"));
  CHECK(key != fingerprint("cache", "f(y)"));
  CHECK(fingerprint("cache", "ab c") != fingerprint("cache", "a bc"));
  // Fixed for ever: other machines and later versions must come to the same key.
  CHECK(key == "df9d0872-1771-53d6-a266-6c3536057120");
}
