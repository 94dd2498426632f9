// Callers of the fleet: agents' sockets, command line, and SQL; each a thread that does one call after the other.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/http/client.hpp"
#include "tests/system/faults/history.hpp"
#include "tests/system/faults/world.hpp"

namespace fleet::test::faults {

struct load_options {
  std::uint64_t seed = 1;
  std::chrono::milliseconds proposal_gap{3'000};  ///< between two proposals of an agent, on average
  std::chrono::milliseconds call_gap{700};        ///< between two other calls of a caller, on average
};

/// What a caller needs. Each draws from a random sequence of its own, which the seed gives; what it draws next for
/// depends on what it finds (proposals to vote on, dead letters, answers).
struct caller {
  caller(world& in, history& into, std::string its_name, std::uint64_t seed)
      : fleet(in), record(into), name(std::move(its_name)), random(seed) {}
  double chance() { return std::uniform_real_distribution<double>(0, 1)(random); }
  std::chrono::milliseconds around(std::chrono::milliseconds average);
  /// Calls an agent and records it. Returns the recorded answer.
  std::string call(const std::string& agent, const std::string& op, const std::string& subject,
                   const std::string& target, const boost::json::object& body, boost::json::object detail = {});

  /// Calls one of the coordinators and puts its answer into `made`, which is not recorded yet. Returns the answer's
  /// body.
  std::string ask_coordinator(entry& made, const std::string& method, const std::string& target,
                              const std::string& body = {});

  world& fleet;
  history& record;
  std::string name;
  std::mt19937_64 random;
};

/// The proposal that `subject` names; its kind is in its name: `good`, `harmful`, `poor`.
boost::json::object proposal_named(const std::string& subject);

class load {
 public:
  load(world& in, history& into, load_options options);
  ~load();
  load(const load&) = delete;
  load& operator=(const load&) = delete;

  void start();
  /// New calls are not begun until `resume`; those under way end.
  void pause() { paused_ = true; }
  void resume() { paused_ = false; }
  /// Ends the callers, except those that take what was published.
  void stop_calling();
  void stop();
  /// `each` proposals to each agent, all of them at the same moment. Returns what the names of all of them begin with,
  /// and no other's.
  std::string burst(const std::string& kind, int each);
  /// Answers with `spooled` so far, by agent.
  int spooled(const std::string& agent) const;

 private:
  using turn = void (load::*)(caller&, std::uint64_t);
  void run(const std::string& name, turn what, std::chrono::milliseconds gap, std::atomic<bool>& until);
  void propose(caller& as, std::uint64_t n);
  void propose_by_command(caller& as, const std::string& agent, const std::string& subject);
  void feed(caller& as, std::uint64_t n);
  void tell(caller& as, std::uint64_t n);
  void vote(caller& as, std::uint64_t n);
  bool look_for_votes();
  void cast_vote(caller& as, const std::string& proposal);
  void publish(caller& as, std::uint64_t n);
  void publish_failing(caller& as, std::uint64_t n);
  void publish_one(caller& as, entry made, const std::string& queue, const boost::json::object& body);
  void publish_poison(caller& as, std::uint64_t n);
  void publish_late_vote(caller& as, std::uint64_t n);
  void take(caller& as, std::uint64_t n);
  void operate(caller& as, std::uint64_t n);
  void intrude(caller& as, std::uint64_t n);
  void settle_dead(caller& as, std::uint64_t n);
  void retry_dead(caller& as, const std::string& queue);
  sql_session& session(const std::string& of);
  /// One of the latest proposals whose name holds `part`; empty where there is none.
  std::string recent(caller& as, const std::string& part = {});
  void remember(const std::string& subject);
  void count_spooled(const std::string& agent, const std::string& answer);

  world& fleet_;
  history& record_;
  load_options options_;
  std::atomic<bool> calling_{true};
  std::atomic<bool> taking_{true};
  std::atomic<bool> paused_{false};
  mutable std::mutex mutex_;
  std::deque<std::string> proposed_;  ///< the latest
  std::map<std::string, int> spooled_;
  std::map<std::string, std::unique_ptr<sql_session>> sessions_;
  std::map<std::string, std::chrono::steady_clock::time_point> asked_;  ///< the voter's: proposals, and since when
  int bursts_ = 0;
  std::vector<std::thread> callers_;
  std::vector<std::thread> takers_;
};

}  // namespace fleet::test::faults
