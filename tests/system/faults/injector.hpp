// Carries out planned faults, one after the other, and measures how long the fleet takes to be as before.
#pragma once
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "tests/system/faults/history.hpp"
#include "tests/system/faults/load.hpp"
#include "tests/system/faults/observer.hpp"
#include "tests/system/faults/schedule.hpp"
#include "tests/system/faults/world.hpp"

namespace fleet::test::faults {

/// Not a wait for a condition: how long a fault lasts.
void let_pass(std::chrono::milliseconds time);

struct injection_parts {
  world& fleet;
  history& record;
  load& calls;
  observer& watch;
};

/// injector.cpp: one fault from its beginning to recovery; the faults themselves in injector_daemons.cpp,
/// injector_database.cpp, injector_load.cpp and injector_spool.cpp.
class injector {
 public:
  explicit injector(injection_parts with) : with_(with) {}
  /// The fault, its end, and the wait for recovery; records each.
  void inject(const planned_fault& fault);
  /// Faults that were left out, and why.
  const std::map<std::string, std::string>& skipped() const { return skipped_; }
  const std::map<std::string, int>& injected() const { return injected_; }

 private:
  void carry_out(const planned_fault& fault);
  void undo(const std::string& why);
  void on_daemon(const planned_fault& fault);
  void on_connections(const planned_fault& fault);
  void on_database(const planned_fault& fault);
  void on_spool(const planned_fault& fault);
  void sighup_storm(const planned_fault& fault);
  void bad_config(const planned_fault& fault);
  void other_schema(const planned_fault& fault);
  void clock_jump(const planned_fault& fault);
  void poison_burst();
  void flood(const planned_fault& fault);
  void use_up_connections(const planned_fault& fault);
  void terminate_backends(const planned_fault& fault);
  void tear_spool(const planned_fault& fault);
  void fill_disk(const planned_fault& fault);
  void start(const std::string& daemon);
  void expect_exit(const std::string& daemon, const std::string& op, int expected, int actual);
  void wait_for_recovery(const planned_fault& fault);
  bool spool_is_empty(const std::string& agent);
  std::string work_left(double ended);
  std::string not_ready();
  void skip(const planned_fault& fault, const std::string& why);

  injection_parts with_;
  std::map<std::string, std::string> skipped_;
  std::map<std::string, int> injected_;
};

}  // namespace fleet::test::faults
