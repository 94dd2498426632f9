// Faults of daemons: how they end, what they are started with, what they are told meanwhile.
#include <fmt/format.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "common/base/time.hpp"
#include "tests/system/faults/injector.hpp"

namespace fleet::test::faults {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

constexpr const char* wrong_settings[] = {"[log]\nlevel = loud\n", "[no_such_section]\nkey = 1\n", "no ini at all\n"};

std::string content_of(const std::string& path) {
  std::ifstream in(path);
  return {(std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>()};
}

void write(const std::string& path, const std::string& content) {
  std::ofstream(path) << content;
}

/// Debian's package puts it into a folder named after the processor; empty where it is not installed.
std::string fake_time_library() {
  for (const auto& each : fs::directory_iterator("/usr/lib")) {
    const auto library = each.path() / "faketime" / "libfaketime.so.1";
    if (fs::exists(library)) return library.string();
  }
  return {};
}

}  // namespace

void injector::on_daemon(const planned_fault& fault) {
  auto& process = with_.fleet.process(fault.target);
  switch (fault.kind) {
    case fault_kind::freeze_daemon:
      process.send(SIGSTOP);
      let_pass(fault.lasts);
      return process.send(SIGCONT);
    case fault_kind::stop_daemon:
      process.send(SIGTERM);
      expect_exit(fault.target, "SIGTERM", 0, process.wait(std::chrono::seconds(14)));
      break;
    case fault_kind::stop_at_once: {
      // Twice: at once, and as a failure where something was still under way.
      process.send(SIGTERM);
      let_pass(milliseconds(10));
      process.send(SIGTERM);
      const int code = process.wait(std::chrono::seconds(3));
      expect_exit(fault.target, "SIGTERM twice", code == 0 ? 0 : 1, code);
      break;
    }
    default:
      process.kill9();
  }
  if (process.running()) process.kill9();
  let_pass(fault.lasts);
  start(fault.target);
}

void injector::sighup_storm(const planned_fault& fault) {
  const auto path = with_.fleet.config_path(fault.target);
  const auto good = content_of(path);
  auto& process = with_.fleet.process(fault.target);
  int n = 0;
  for (const auto end = steady::now() + fault.lasts; steady::now() < end; ++n) {
    write(path, good + wrong_settings[n % 3]);
    process.send(SIGHUP);
    let_pass(milliseconds(10));
  }
  write(path, good);
  process.send(SIGHUP);
  if (!process.running()) expect_exit(fault.target, "SIGHUP", -1, 0);
}

/// It must refuse to run, and say so, and not wait for a better one.
void injector::bad_config(const planned_fault& fault) {
  const auto path = with_.fleet.config_path(fault.target);
  const auto good = content_of(path);
  auto& process = with_.fleet.process(fault.target);
  process.kill9();
  for (const auto* wrong : wrong_settings) {
    write(path, good + wrong);
    start(fault.target);
    expect_exit(fault.target, "a bad configuration", 2, process.wait(std::chrono::seconds(10)));
    if (process.running()) process.kill9();
  }
  let_pass(fault.lasts);
  write(path, good);
  start(fault.target);
}

/// A schema that is a version ahead or behind is refused; the other daemons go on.
void injector::other_schema(const planned_fault& fault) {
  const bool ahead = fault.kind == fault_kind::schema_ahead;
  sql_session admin(with_.fleet.admin_url(), "migrator");
  auto& process = with_.fleet.process(fault.target);
  process.kill9();
  admin.query("create temp table latest as select * from quantumflow.schema_migration order by version desc limit 1");
  const auto add = fmt::format(
      "insert into quantumflow.schema_migration select (jsonb_populate_record(m, jsonb_build_object('version', "
      "m.version + {}))).* from latest m",
      ahead ? 1 : 0);
  const auto remove = fmt::format(
      "delete from quantumflow.schema_migration m using latest l where m.version = l.version + {}", ahead ? 1 : 0);
  admin.query(ahead ? add : remove);
  start(fault.target);
  expect_exit(fault.target, ahead ? "a later schema" : "an earlier schema", 2, process.wait(std::chrono::seconds(10)));
  if (process.running()) process.kill9();
  let_pass(fault.lasts);
  admin.query(ahead ? remove : add);
  start(fault.target);
}

/// Leases and order go by the database's clock, so a daemon's own may say what it likes.
void injector::clock_jump(const planned_fault& fault) {
  const auto library = fake_time_library();
  if (library.empty()) return skip(fault, "libfaketime is not installed");
  auto& process = with_.fleet.process(fault.target);
  const auto usual = process.environment;
  const auto clock = with_.fleet.directory + "/clock";
  write(clock, "+0");
  process.kill9();
  process.environment["LD_PRELOAD"] += ":" + library;
  process.environment["FAKETIME_TIMESTAMP_FILE"] = clock;
  process.environment["FAKETIME_NO_CACHE"] = "1";
  process.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1";
  start(fault.target);
  for (const auto* offset : {"+0", "+1h", "-1h"}) {
    write(clock, offset);
    let_pass(fault.lasts / 3);
  }
  process.send(SIGTERM);
  expect_exit(fault.target, "SIGTERM", 0, process.wait(std::chrono::seconds(14)));
  if (process.running()) process.kill9();
  process.environment = usual;
  start(fault.target);
  // Its last words were an hour old; otherwise nothing was tried.
  const auto half_an_hour_ago = base::format_rfc3339(base::system_clock().now() - std::chrono::minutes(30));
  const auto log = process.log();
  const auto last = log.rfind(" stopping: ");
  const auto line = last == std::string::npos ? 0 : log.rfind('\n', last) + 1;
  if (log.substr(line, 19) >= half_an_hour_ago) throw std::runtime_error("the daemon's clock did not jump");
}

}  // namespace fleet::test::faults
