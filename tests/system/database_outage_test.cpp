// The database is away from both daemons: what they say of it, what it costs, and how they come back.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet::test;
using namespace std::chrono_literals;

namespace {

/// Stands for systemd, to the daemons that are started while it is there.
class service_manager {
 public:
  service_manager() : path_("/tmp/fleet_notify_" + std::to_string(::getpid())) {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    ::setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "400000", 1);
    // Always read, as systemd does: a socket may hold ten messages, and who sends the next one waits.
    reader_ = std::jthread([this](const std::stop_token& asked) {
      while (!asked.stop_requested()) {
        receive();
        ::usleep(20'000);
      }
    });
  }
  ~service_manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
    reader_.request_stop();
    reader_.join();
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  /// Everything that was told since the last call.
  std::string told() {
    receive();
    const std::scoped_lock lock(mutex_);
    return std::exchange(all_, {});
  }

 private:
  void receive() {
    const std::scoped_lock lock(mutex_);
    std::array<char, 1024> chunk{};
    for (auto count = ::recv(fd_, chunk.data(), chunk.size(), 0); count >= 0;
         count = ::recv(fd_, chunk.data(), chunk.size(), 0))
      all_ += std::string(chunk.data(), static_cast<std::size_t>(count)) + "\n";
  }

  std::string path_;
  int fd_ = -1;
  std::mutex mutex_;
  std::string all_;
  std::jthread reader_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct cost {
  double cpu_seconds = 0;
  std::ptrdiff_t descriptors = 0;
  std::ptrdiff_t lines = 0;
};

cost cost_of(const daemon_process& daemon) {
  const auto folder = "/proc/" + std::to_string(daemon.pid());
  cost now;
  std::ifstream file(folder + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  now.cpu_seconds = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const std::filesystem::directory_iterator open(folder + "/fd");
  now.descriptors = std::distance(begin(open), end(open));
  const auto log = daemon.log();
  now.lines = std::count(log.begin(), log.end(), '\n');
  return now;
}

unsigned status_of(const daemon_fleet& fleet, const std::string& target) {
  return static_cast<unsigned>(std::stoi(
      shell("curl -s -o /dev/null -w '%{http_code}' http://" + fleet.coordinator_addresses[0] + target + " || true")));
}

fleet_options quiet(const std::string& name) {
  fleet_options options;
  options.name = name;
  options.agents = 1;
  options.agent_settings = {{"log.level", "info"}, {"voter.mode", "manual"}};
  options.coordinator_settings = {{"log.level", "info"}};
  return options;
}

}  // namespace

TEST_CASE("database outage: daemons started without it are alive and not ready, and get ready by themselves") {
  auto options = quiet("outage_start");
  options.start = false;
  daemon_fleet fleet(options);
  auto& coordinator = *fleet.coordinators[0];
  auto& agent = fleet.agent(0);
  database_outage outage;
  service_manager manager;
  coordinator.start();
  std::string told;
  const auto up = [&] { return has(told += manager.told(), "READY=1\nSTATUS=waiting for the database"); };
  CHECK(wait_until(up));
  // Fed while it waits, and not while its loop stands still.
  manager.told();
  CHECK(wait_until([&] { return has(manager.told(), "WATCHDOG=1"); }));
  coordinator.send(SIGSTOP);
  ::usleep(100'000);
  manager.told();
  ::usleep(1'000'000);
  CHECK(manager.told().empty());
  coordinator.send(SIGCONT);
  CHECK(wait_until([&] { return has(manager.told(), "WATCHDOG=1"); }));
  agent.start();
  REQUIRE(wait_until([&] { return status_of(fleet, "/healthz") == 200; }));
  CHECK(status_of(fleet, "/readyz") == 503);
  const auto says = [](const daemon_process& daemon) {
    return daemon.log().find("database_away") != std::string::npos;
  };
  CHECK(wait_until([&] { return says(coordinator) && says(agent.process); }));
  CHECK_FALSE(agent.ready());
  SECTION("the database comes") {
    outage.end();
    fleet.wait_ready();
    CHECK(coordinator.log().find("database_there") != std::string::npos);
  }
  SECTION("they are asked to stop before it comes") {
    coordinator.send(SIGTERM);
    agent.process.send(SIGTERM);
    CHECK(coordinator.wait() == 0);
    CHECK(agent.process.wait() == 0);
  }
}

TEST_CASE("database outage: it costs next to nothing, is told in few lines, and work goes on within seconds") {
  daemon_fleet fleet(quiet("outage_cost"));
  auto& coordinator = *fleet.coordinators[0];
  auto& agent = fleet.agent(0);
  database_outage outage;
  const std::vector<const daemon_process*> daemons = {&coordinator, &agent.process};
  // Everybody has noticed, and is waiting between attempts.
  for (const auto* each : daemons)
    REQUIRE(wait_until([&] { return each->log().find("workers_wait") != std::string::npos; }));
  std::vector<cost> first;
  for (const auto* each : daemons) first.push_back(cost_of(*each));
  const auto began = std::chrono::steady_clock::now();
  // A measurement needs time to pass.
  while (std::chrono::steady_clock::now() - began < 8s) ::usleep(100'000);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  for (std::size_t i = 0; i < daemons.size(); ++i) {
    const auto now = cost_of(*daemons[i]);
    const double cpu = (now.cpu_seconds - first[i].cpu_seconds) / seconds;
    const auto more_descriptors = now.descriptors - first[i].descriptors;
    INFO((i == 0 ? "coordinator" : "agent") << ": CPU " << cpu * 100 << " %, " << now.descriptors << " descriptors, "
                                            << more_descriptors << " more than at first\n"
                                            << daemons[i]->log());
    CHECK(cpu < 0.05);
    CHECK(more_descriptors <= 2);
    CHECK(now.lines - first[i].lines <= 2);
  }
  if (std::getenv("FLEET_TELL") != nullptr)
    for (std::size_t i = 0; i < daemons.size(); ++i) {
      const auto now = cost_of(*daemons[i]);
      std::printf("%s: CPU %.2f %%, descriptors %td -> %td, lines %td -> %td\n", i == 0 ? "coordinator" : "agent",
                  (now.cpu_seconds - first[i].cpu_seconds) / seconds * 100, first[i].descriptors, now.descriptors,
                  first[i].lines, now.lines);
    }
  SECTION("it comes back") {
    outage.end();
    const auto back = std::chrono::steady_clock::now();
    fleet.wait_ready();
    const auto took = std::chrono::steady_clock::now() - back;
    if (std::getenv("FLEET_TELL") != nullptr)
      std::printf("ready after %.1f s\n", std::chrono::duration<double>(took).count());
    CHECK(took < 5s * patience());
    for (const auto* each : daemons)
      CHECK(wait_until([&] { return each->log().find("workers_go_on") != std::string::npos; }));
  }
  SECTION("a stop meanwhile is an ordinary stop") {
    coordinator.send(SIGTERM);
    agent.process.send(SIGTERM);
    CHECK(coordinator.wait(9s) == 0);
    CHECK(agent.process.wait(9s) == 0);
  }
}
