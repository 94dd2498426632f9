#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <string>

#include "singularity_agent/patterns/suggestions.hpp"

using namespace fleet;
using namespace fleet::agent::patterns;

namespace {

boost::json::object pattern(const std::string& id, const std::string& before) {
  boost::json::object code;
  code["before"] = before;
  boost::json::object made;
  made["pattern_id"] = id;
  made["code_pattern"] = code;
  return made;
}

}  // namespace

TEST_CASE("suggestions: blanks do not count, order of words neither; nothing resembles nothing") {
  CHECK(similarity("a = b + c;", "a=b\n+c ;") == base::decimal::from_int(1));
  CHECK(similarity("a b c d", "a b c e") == base::decimal::from_millionths(600'000));
  CHECK(similarity("", "") == base::decimal());
  CHECK(similarity("a", "b") == base::decimal());
}

TEST_CASE("suggestions: those above the bound, best first, five at most") {
  std::vector<boost::json::object> known;
  known.push_back(pattern("bound", "a b c"));  // 3 of 4: not above 0.75
  known.push_back(pattern("close", "a b c d e"));
  for (int i = 0; i < 6; ++i) known.push_back(pattern("same" + std::to_string(i), "a b c d"));
  known.push_back(pattern("other", "x y"));
  const auto best = suggest("a b c d", known);
  REQUIRE(best.size() == max_suggestions);
  CHECK(best[0].at("pattern_id") == "same0");
  CHECK(best[0].at("similarity") == 1);

  const auto one = suggest("a b c d", {known[0], known[1]});
  REQUIRE(one.size() == 1);
  CHECK(one[0].at("pattern_id") == "close");
  CHECK(one[0].at("similarity").as_double() == 0.8);
}
