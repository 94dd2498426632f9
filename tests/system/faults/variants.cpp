#include "tests/system/faults/variants.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/system/faults/campaign.hpp"

namespace fleet::test::faults {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream in(list);
  for (std::string word; std::getline(in, word, ',');) {
    word.erase(0, word.find_first_not_of(' '));
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

variant read_variant(const fs::path& path) {
  variant made;
  made.name = path.stem().string();
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    made.sql += line + "\n";
    if (made.sentence.empty() && line.starts_with("-- ")) made.sentence = line.substr(3);
    const auto after = [&](const std::string& key) {
      return line.starts_with(key) ? words_of(line.substr(key.size())) : std::vector<std::string>();
    };
    for (const auto& name : after("-- faults: ")) made.faults.push_back(parse_fault(name));
    for (const auto& name : after("-- caught by: ")) made.caught_by.push_back(name);
    for (const auto& pair : after("-- environment: "))
      made.environment[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
  }
  return made;
}

std::string result_of(const variant_outcome& outcome) {
  if (!outcome.error.empty()) return "NOT INSTALLED";
  return outcome.caught ? "caught" : "NOT CAUGHT";
}

}  // namespace

std::vector<variant> load_variants(const std::string& folder) {
  const auto prelude = read_variant(folder + "/_patch.sql").sql;
  std::vector<variant> all;
  for (const auto& each : fs::directory_iterator(folder)) {
    if (each.path().extension() != ".sql" || each.path().filename().string().front() == '_') continue;
    all.push_back(read_variant(each.path()));
    all.back().sql.insert(0, prelude);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

variant_outcome try_variant(const variant& what, std::uint64_t seed) {
  std::cout << "variant " << what.name << ": " << what.sentence << std::endl;
  campaign_options options;
  options.seed = seed;
  options.kinds = what.faults;
  options.mutation = what.sql;
  options.agent_environment = what.environment;
  options.settle = std::chrono::seconds(25);  // what a variant breaks may never come to rest
  variant_outcome outcome;
  campaign_result result;
  try {
    result = run_campaign(options);
  } catch (const std::exception& error) {
    outcome.error = error.what();
    std::cout << fmt::format("variant {}: {}: {}", what.name, result_of(outcome), outcome.error) << std::endl;
    return outcome;
  }
  for (const auto& each : result.violations) outcome.broken.insert(each.invariant);
  std::error_code ignored;
  fs::remove_all(result.directory, ignored);
  const auto broke = [&](const std::string& name) { return outcome.broken.count(name) != 0; };
  outcome.caught = std::any_of(what.caught_by.begin(), what.caught_by.end(), broke);
  std::cout << fmt::format("variant {}: {} ({} violations)\n{}", what.name, result_of(outcome),
                           result.violations.size(),
                           outcome.caught ? result.explanation.substr(0, 3'000) : result.explanation + result.report)
            << std::endl;
  return outcome;
}

int try_variants(const std::string& only, std::uint64_t seed) {
  int missed = 0;
  auto table = fmt::format("{:<22} {:<14} {:<48} {}\n", "variant", "", "is there for it", "broken");
  for (const auto& each : load_variants(suite_folder() + "/variants")) {
    if (!only.empty() && only != each.name) continue;
    const auto outcome = try_variant(each, seed);
    if (!outcome.caught) ++missed;
    table += fmt::format("{:<22} {:<14} {:<48} {}\n", each.name, result_of(outcome),
                         fmt::format("{}", fmt::join(each.caught_by, ", ")),
                         fmt::format("{}", fmt::join(outcome.broken, ", ")));
  }
  std::cout << table << (missed == 0 ? "every variant was caught" : "variants were NOT caught") << std::endl;
  return missed;
}

}  // namespace fleet::test::faults
