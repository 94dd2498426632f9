// A daemon that calls a function which its role is not granted fails at run time only; this reads the sources instead.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet;

namespace {

/// "schema.function" of every call in the SQL of these folders.
std::set<std::string> functions_called(std::initializer_list<const char*> folders) {
  static const std::regex call(R"(\b((?:quantumflow|singularity|centralcloud)\.[a-z_]+)\()");
  std::set<std::string> found;
  for (const auto* folder : folders) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::string(FLEET_SOURCE_DIR "/") + folder)) {
      if (entry.path().extension() != ".cpp") continue;
      std::ifstream in(entry.path());
      const std::string text((std::istreambuf_iterator<char>(in)), {});
      for (std::sregex_iterator at(text.begin(), text.end(), call), end; at != end; ++at) found.insert((*at)[1].str());
    }
  }
  return found;
}

/// Those that the role may not call, but for `others`.
std::string not_granted(const std::string& role, const std::set<std::string>& called,
                        const std::set<std::string>& others) {
  std::string missing;
  for (const auto& name : called) {
    if (others.count(name) != 0) continue;
    const auto granted = test::private_postgres::shared().psql(
        "select coalesce(bool_and(has_function_privilege('" + role +
            "', oid, 'execute')), false) from pg_proc where pronamespace::regnamespace || '.' || proname = '" + name +
            "'",
        "grants");
    if (granted != "t") missing += name + " ";
  }
  return missing;
}

/// Of the shared library, what only the coordinator's part uses.
const std::set<std::string> agents_do_not = {"quantumflow.count_messages",    "quantumflow.expire_instances",
                                             "quantumflow.move_laggards",     "quantumflow.purge_dlq",
                                             "quantumflow.retry_dlq_message", "quantumflow.rotate",
                                             "quantumflow.tick_xid_clock",    "quantumflow.trim_positions"};
/// Of the command line, what an administrator does.
const std::set<std::string> owners_only = {"quantumflow.enroll", "quantumflow.rebase", "quantumflow.rotate_password",
                                           "quantumflow.unenroll"};

}  // namespace

TEST_CASE("grants: each daemon's role may call every function that its sources name") {
  test::fleet_database("grants");
  const auto agent = functions_called({"singularity_agent", "common/quantumflow"});
  const auto coordinator = functions_called({"centralcloud_daemon", "common/quantumflow"});
  INFO(agent.size() << " and " << coordinator.size() << " functions");
  CHECK(agent.size() > 40);
  CHECK(coordinator.size() > 30);
  CHECK(not_granted("singularity_agent", agent, agents_do_not) == "");
  CHECK(not_granted("centralcloud", coordinator, owners_only) == "");
}
