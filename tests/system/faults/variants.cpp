// Deliberately broken variants: they show that the checker can fail.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "tests/system/faults/campaign.hpp"

namespace fleet::test::faults {

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

variant read_variant(const std::filesystem::path& path) {
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

}  // namespace

std::vector<variant> load_variants(const std::string& folder) {
  std::vector<variant> all;
  for (const auto& each : std::filesystem::directory_iterator(folder))
    if (each.path().extension() == ".sql") all.push_back(read_variant(each.path()));
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

bool is_caught(const variant& broken, std::uint64_t seed) {
  std::cout << "variant " << broken.name << ": " << broken.sentence << std::endl;
  campaign_options options;
  options.seed = seed;
  options.kinds = broken.faults;
  options.mutation = broken.sql;
  options.agent_environment = broken.environment;
  const auto result = run_campaign(options);
  std::set<std::string> broken_ones;
  for (const auto& each : result.violations) broken_ones.insert(each.invariant);
  std::error_code ignored;
  std::filesystem::remove_all(result.directory, ignored);
  const auto wanted = [&](const std::string& name) { return broken_ones.count(name) != 0; };
  const bool caught = std::any_of(broken.caught_by.begin(), broken.caught_by.end(), wanted);
  std::string names;
  for (const auto& name : broken_ones) names += " " + name;
  std::cout << fmt::format("variant {}: {} ({} violations of{})\n{}", broken.name, caught ? "caught" : "NOT CAUGHT",
                           result.violations.size(), names.empty() ? " nothing" : names,
                           caught ? result.explanation.substr(0, 3'000) : result.explanation + result.report)
            << std::endl;
  return caught;
}

}  // namespace fleet::test::faults
