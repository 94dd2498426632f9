// `doctor` as people run it: beside a running fleet, with daemons down, with wrong files, as another user.
#include <signal.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet::test;

namespace {

struct diagnosis {
  int code = -1;
  boost::json::object answer;
  std::string of(const std::string& check) const {
    for (const auto& each : answer.at("checks").as_array()) {
      const auto& row = each.as_object();
      if (row.at("check").as_string() != check) continue;
      const auto* advice = row.if_contains("advice");
      return std::string(row.at("status").as_string()) + ": " + std::string(row.at("text").as_string()) +
             (advice == nullptr ? "" : " -> " + std::string(advice->as_string()));
    }
    return {};
  }
};

/// `prefix` goes before the program: another user.
diagnosis doctor(const std::string& program, const std::string& arguments, const std::string& prefix = {}) {
  const auto text = shell(prefix + " '" + program + "' doctor --json " + arguments + "; echo \"exit $?\"");
  const auto at = text.rfind("exit ");
  INFO(text);
  REQUIRE(at != std::string::npos);
  REQUIRE(text.front() == '{');
  return {std::atoi(text.c_str() + at + 5), boost::json::parse(text.substr(0, text.find('\n'))).as_object()};
}

diagnosis agent_doctor(agent_process& agent, const std::string& more = {}) {
  return doctor(daemon_binary("singularity_agent"), "--config '" + agent.directory + "/agent.ini' " + more);
}

diagnosis coordinator_doctor(const daemon_fleet& fleet, const std::string& more = {}) {
  return doctor(daemon_binary("centralcloud_daemon"),
                "--config '" + fleet.directory + "/coordinator-0/coordinator.ini' " + more);
}

}  // namespace

TEST_CASE("doctor: a fleet that runs, then its daemons down, then the database gone") {
  daemon_fleet fleet({.name = "doctor_fleet", .agents = 1});
  auto& agent = fleet.agent(0);
  const auto running = agent_doctor(agent);
  CHECK(running.code == 0);
  CHECK_THAT(running.of("process"), Catch::StartsWith("ok: runs and is ready at unix:"));
  CHECK_THAT(running.of("instance"), Catch::StartsWith("ok: agent-0"));
  CHECK_THAT(running.of("repository"), Catch::StartsWith("ok: "));
  CHECK_THAT(running.of("spool"), Catch::StartsWith("ok: "));
  CHECK_THAT(running.of("listen"), Catch::StartsWith("ok: "));
  const auto coordinator = coordinator_doctor(fleet);
  CHECK(coordinator.code == 0);
  CHECK_THAT(coordinator.of("process"), Catch::StartsWith("ok: runs and is ready at 127.0.0.1:"));

  agent.process.kill9();
  const auto down = agent_doctor(agent);
  CHECK(down.code == 0);
  CHECK_THAT(down.of("process"), Catch::StartsWith("warn: does not run"));
  CHECK_THAT(down.of("repository"), Catch::StartsWith("ok: "));

  const auto away = coordinator_doctor(fleet, "--database.url postgresql://coordinator@127.0.0.1:1/none");
  CHECK(away.code == 1);
  CHECK_THAT(away.of("database"), Catch::Contains("start the server"));
  const auto wrong = private_postgres::shared().tcp_url(fleet.name, "fleet_agent-0", "wrong");
  CHECK_THAT(agent_doctor(agent, "--database.url '" + wrong + "'").of("database"),
             Catch::StartsWith("fail: ") && Catch::Contains("enroll agent-0 --rotate-password"));
  CHECK_THAT(away.of("database"), Catch::StartsWith("fail: "));
  CHECK_FALSE(away.answer.at("ok").as_bool());

  // Stopped by SIGSTOP it takes connections and answers nothing, like one that hangs.
  fleet.coordinators[0]->send(SIGSTOP);
  const auto hangs = coordinator_doctor(fleet);
  fleet.coordinators[0]->send(SIGCONT);
  CHECK(hangs.code == 1);
  CHECK_THAT(hangs.of("process"), Catch::StartsWith("fail: ") && Catch::Contains("does not answer"));
}

TEST_CASE("doctor: configuration, files, spool and socket that are wrong") {
  daemon_fleet fleet({.name = "doctor_files", .agents = 1, .coordinators = 1, .start = false});
  auto& agent = fleet.agent(0);
  const auto unknown = agent_doctor(agent, "--log.level loud");
  CHECK(unknown.code == 1);
  CHECK_THAT(unknown.of("configuration"), Catch::StartsWith("fail: ") && Catch::Contains("log.level"));

  CHECK_THAT(agent_doctor(agent, "--api.listen 0.0.0.0:4101").of("address"),
             Catch::StartsWith("fail: ") && Catch::Contains("http.token_file"));

  const auto config = agent.directory + "/agent.ini";
  std::ofstream(config, std::ios::app) << "[http]\ntoken_file = " << agent.directory << "/token\n";
  std::ofstream(agent.directory + "/token") << "0123456789abcdef\n";
  shell("chmod 644 '" + agent.directory +
        "/token' && sed -i 's#^url = .*#url = postgresql://a:secret@127.0.0.1:1/d#' '" + config + "' && chmod 666 '" +
        config + "'");
  const auto open = agent_doctor(agent);
  CHECK(open.code == 1);
  CHECK_THAT(open.of("token file"), Catch::StartsWith("warn: ") && Catch::Contains("chmod o-rwx"));
  CHECK_THAT(open.of("configuration file"), Catch::StartsWith("warn: ") && Catch::Contains("chmod go-w"));
  CHECK(boost::json::serialize(open.answer).find("secret@") == std::string::npos);

  const auto nowhere = agent_doctor(agent, "--spool.path /nowhere/spool.db --api.socket /nowhere/agent.sock");
  CHECK_THAT(nowhere.of("spool"), Catch::StartsWith("fail: /nowhere does not exist"));
  CHECK_THAT(nowhere.of("socket"), Catch::StartsWith("fail: /nowhere does not exist"));
  CHECK_THAT(agent_doctor(agent, "--api.socket /tmp/" + std::string(120, 'x')).of("socket"),
             Catch::StartsWith("fail: ") && Catch::Contains("107 bytes"));
  std::ofstream(agent.directory + "/spool.db.damaged-1") << "not a database";
  CHECK_THAT(agent_doctor(agent).of("spool"), Catch::StartsWith("warn: ") && Catch::Contains("1 damaged files"));
  std::ofstream(config, std::ios::app) << "[spool]\npath =\n";
  CHECK_THAT(agent_doctor(agent).of("spool"), Catch::StartsWith("warn: there is none"));
  if (::geteuid() == 0) {
    // A file system with less room than the spool may take; only root can make one.
    shell("mkdir '" + agent.directory + "/small' && mount -t tmpfs -o size=3m tmpfs '" + agent.directory + "/small'");
    const auto full = agent_doctor(agent, "--spool.path '" + agent.directory + "/small/spool.db'");
    shell("umount '" + agent.directory + "/small'");
    CHECK_THAT(full.of("spool"), Catch::StartsWith("fail: ") && Catch::Contains("make room"));
  }
}

TEST_CASE("doctor: whether the metrics' sources answer") {
  daemon_fleet fleet({.name = "doctor_metrics", .agents = 1, .coordinators = 1, .start = false});
  auto& agent = fleet.agent(0);
  const auto asked = [&](const std::string& more) {
    return agent_doctor(agent, "--metrics.proc none " + more).of("metrics");
  };
  CHECK(asked("--metrics.command ''") == "ok: none are sampled here: the instance hands them in");
  CHECK(asked("--metrics.command 'echo {\\\"error_rate\\\": 0.5, \\\"queue_depth\\\": 3}'") ==
        "ok: error_rate, queue_depth");
  CHECK_THAT(asked("--metrics.command 'echo {\\\"error_rate\\\": 5}'"),
             Catch::StartsWith("warn: metrics.command: ") && Catch::Contains("error_rate"));
  // Port 1 of this machine: nobody listens there. The other source's figures do not hide it.
  const auto refused = asked("--metrics.command 'echo {}' --metrics.url http://127.0.0.1:1/metrics");
  CHECK_THAT(refused, Catch::StartsWith("warn: metrics.url: ") &&
                          Catch::EndsWith("-> mend it: a change whose metrics are missing cannot be watched"));
  CHECK(agent_doctor(agent).of("metrics") == "ok: error_rate, latency_p95_ms, success_rate");
}

TEST_CASE("doctor: what another user may not do") {
  if (::geteuid() != 0) {
    WARN("only root can become another user: not tested here");
    return;
  }
  daemon_fleet fleet({.name = "doctor_user", .agents = 1, .coordinators = 1, .start = false});
  auto& agent = fleet.agent(0);
  // A clone below /root is out of the other user's reach.
  const auto program = fleet.directory + "/singularity_agent";
  std::filesystem::copy_file(daemon_binary("singularity_agent"), program);
  shell("chmod 755 '" + fleet.directory + "' '" + program + "'");
  const std::string nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups ";
  const auto owned = doctor(program, "--config '" + agent.directory + "/agent.ini'", nobody);
  CHECK(owned.code == 1);
  CHECK_THAT(owned.of("spool"), Catch::StartsWith("fail: ") && Catch::Contains("cannot be written by this user"));
  CHECK_THAT(owned.of("socket"), Catch::StartsWith("fail: ") && Catch::Contains("cannot be written by this user"));
  CHECK_THAT(owned.of("repository"),
             Catch::StartsWith("fail: ") && Catch::Contains("git refuses what belongs to somebody else"));

  shell("chown -R 65534 '" + agent.repository + "' && chown 0 '" + agent.repository + "/.git/objects' && chmod 755 '" +
        agent.repository + "/.git/objects'");
  const auto half = doctor(program, "--config '" + agent.directory + "/agent.ini'", nobody);
  CHECK_THAT(half.of("repository"), Catch::StartsWith("fail: ") && Catch::Contains("/.git/objects cannot be written"));

  shell("chmod 600 '" + agent.directory + "/agent.ini'");
  const auto hidden = doctor(program, "--config '" + agent.directory + "/agent.ini'", nobody);
  CHECK(hidden.code == 1);
  CHECK_THAT(hidden.of("configuration"), Catch::StartsWith("fail: ") && Catch::Contains("cannot read this file"));
}
