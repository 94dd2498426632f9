// The fault suite. Without options: its test cases, of which one is a short run. With options: a run of its own.
#define CATCH_CONFIG_RUNNER
#include <unistd.h>

#include <boost/program_options.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "tests/system/faults/campaign.hpp"
#include "tests/system/faults/variants.hpp"

namespace {

namespace faults = fleet::test::faults;
namespace options = boost::program_options;

int run_long(const options::variables_map& given) {
  faults::campaign_options how;
  how.seed = given["seed"].as<std::uint64_t>();
  how.minutes = given.count("minutes") != 0 ? given["minutes"].as<int>() : 0;
  if (given.count("fault") != 0) {
    how.kinds.clear();
    for (const auto& name : given["fault"].as<std::vector<std::string>>())
      how.kinds.push_back(faults::parse_fault(name));
  }
  const auto result = faults::run_campaign(how);
  std::cout << result.report << result.explanation;
  if (result.violations.empty()) return 0;
  std::cout << "kept: " << result.directory << "\n";
  return 1;
}

int run_variants(const options::variables_map& given) {
  const auto only = given.count("variant") != 0 ? given["variant"].as<std::string>() : std::string();
  return faults::try_variants(only, given["seed"].as<std::uint64_t>()) == 0 ? 0 : 1;
}

/// A run must not depend on who starts it: PGOPTIONS with `synchronous_commit=off` loses acknowledged messages, say.
void forget_libpq_environment() {
  std::vector<std::string> names;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string variable = *each;
    if (variable.starts_with("PG")) names.push_back(variable.substr(0, variable.find('=')));
  }
  for (const auto& name : names) ::unsetenv(name.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  forget_libpq_environment();
  options::options_description known("fault_tests [test case]..., or");
  auto add = known.add_options();
  add("minutes", options::value<int>(), "a run of so many minutes");
  add("seed", options::value<std::uint64_t>()->default_value(1), "of the schedule and the calls");
  add("fault", options::value<std::vector<std::string>>(), "only this kind (may be repeated; without --minutes: once)");
  add("variant", options::value<std::string>(), "the deliberately broken variant of this name");
  add("variants", "each deliberately broken variant");
  try {
    options::variables_map given;
    const auto parsed = options::command_line_parser(argc, argv).options(known).allow_unregistered().run();
    options::store(parsed, given);
    if (given.count("variant") + given.count("variants") > 0) return run_variants(given);
    if (given.count("minutes") + given.count("fault") > 0 || !given["seed"].defaulted()) return run_long(given);
  } catch (const options::error& error) {
    std::cerr << error.what() << "\n" << known;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return Catch::Session().run(argc, argv);
}
