#include "tests/system/faults/load.hpp"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <functional>
#include <latch>

namespace fleet::test::faults {

namespace json = boost::json;
using std::chrono::milliseconds;

namespace {

std::string answer_of(const base::result<http::client_response>& response, json::object& detail) {
  if (!response) {
    detail["error"] = response.error().message;
    // Nobody listens on a socket whose owner is dead; whatever else went wrong may have happened after the call came
    // in.
    const bool refused = response.error().message.find("connecting") != std::string::npos;
    return refused ? "unsent" : "ambiguous";
  }
  detail["status"] = response->status;
  if (response->status == 503) return "unavailable";
  if (response->status >= 500) return "ambiguous";
  if (response->status >= 400) {
    detail["body"] = response->body.substr(0, 300);
    return "refused";
  }
  return response->body.find("\"spooled\":true") == std::string::npos ? "done" : "spooled";
}

}  // namespace

milliseconds caller::around(milliseconds average) {
  std::uniform_real_distribution<double> factor(0.5, 1.5);
  return milliseconds(static_cast<std::int64_t>(static_cast<double>(average.count()) * factor(random)));
}

std::string caller::call(const std::string& agent, const std::string& op, const std::string& subject,
                         const std::string& target, const json::object& body, json::object detail) {
  http::client_request request;
  request.to.unix_socket = fleet.agent(agent).socket;
  request.method = "POST";
  request.target = target;
  request.body = json::serialize(body);
  entry made{.who = name, .op = op, .subject = subject, .began = now()};
  made.answer = answer_of(http::call_blocking(std::move(request)), detail);
  detail["agent"] = agent;
  made.detail = std::move(detail);
  auto answer = made.answer;
  record.add(std::move(made));
  return answer;
}

std::string caller::ask_coordinator(entry& made, const std::string& method, const std::string& target,
                                    const std::string& body) {
  http::client_request request;
  request.to = http::endpoint::parse(fleet.coordinators[random() % fleet.coordinators.size()]->address).value();
  request.method = method;
  request.target = target;
  request.body = body;
  made.began = now();
  const auto response = http::call_blocking(std::move(request));
  made.answer = answer_of(response, made.detail);
  return response ? response->body : std::string();
}

json::object proposal_named(const std::string& subject) {
  const bool harmful = subject.find("harmful") != std::string::npos;
  const bool poor = subject.find("poor") != std::string::npos;
  const auto path = (harmful ? "harm/" : "work/") + subject;
  auto proposal = proposal_of({{path, "content of " + subject + "\n"}}, poor ? 9.5 : 2, poor ? 2 : 8);
  proposal["proposal_id"] = subject;
  proposal["agent_type"] = "BugFixerAgent";
  return proposal;
}

load::load(world& in, history& into, load_options options) : fleet_(in), record_(into), options_(options) {
  for (const auto* name : {"publisher", "poisoner", "failing", "forger", "taker-a", "taker-b"})
    sessions_.emplace(name, std::make_unique<sql_session>(fleet_.load_url(), name));
  sessions_.emplace("intruder", std::make_unique<sql_session>(fleet_.instance_url("agent-1"), "intruder"));
}

load::~load() {
  stop();
}

void load::start() {
  const auto gap = options_.call_gap;
  const auto add = [this](const std::string& name, turn what, milliseconds every) {
    callers_.emplace_back([=, this] { run(name, what, every, calling_); });
  };
  for (int i = 0; i < 3; ++i) {
    add(fmt::format("proposer-{}", i), &load::propose, options_.proposal_gap);
    add(fmt::format("feeder-{}", i), &load::feed, gap);
  }
  add("voter", &load::vote, milliseconds(500));
  add("publisher", &load::publish, gap / 2);
  add("poisoner", &load::publish_poison, gap * 4);
  add("failing", &load::publish_failing, gap * 4);
  add("forger", &load::publish_late_vote, gap * 4);
  add("operator", &load::operate, gap * 10);
  add("undertaker", &load::settle_dead, gap * 4);
  add("intruder", &load::intrude, gap / 2);
  for (const auto* name : {"taker-a", "taker-b"})
    takers_.emplace_back([=, this] { run(name, &load::take, milliseconds(100), taking_); });
}

void load::run(const std::string& name, turn what, milliseconds gap, std::atomic<bool>& until) {
  caller as(fleet_, record_, name, options_.seed * 1'000'003 + std::hash<std::string>{}(name));
  for (std::uint64_t n = 1; until; ++n) {
    const auto wake = std::chrono::steady_clock::now() + as.around(gap);
    while (until && (std::chrono::steady_clock::now() < wake || (paused_ && &until == &calling_)))
      std::this_thread::sleep_for(milliseconds(20));
    if (!until) return;
    try {
      (this->*what)(as, n);
    } catch (const std::exception& error) {
      // Whoever records an uncertain outcome has done so; this is only why.
      entry note{.kind = "note", .who = name, .op = "problem"};
      note.detail["error"] = error.what();
      record_.add(std::move(note));
    }
  }
}

void load::stop_calling() {
  calling_ = false;
  for (auto& each : callers_) each.join();
  callers_.clear();
}

void load::stop() {
  stop_calling();
  taking_ = false;
  for (auto& each : takers_) each.join();
  takers_.clear();
}

sql_session& load::session(const std::string& of) {
  return *sessions_.at(of);
}

std::string load::recent(caller& as, const std::string& part) {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> fitting;
  for (const auto& each : proposed_)
    if (each.find(part) != std::string::npos) fitting.push_back(each);
  return fitting.empty() ? std::string() : fitting[as.random() % fitting.size()];
}

void load::remember(const std::string& subject) {
  constexpr std::size_t kept = 12;
  const std::scoped_lock lock(mutex_);
  proposed_.push_back(subject);
  if (proposed_.size() > kept) proposed_.pop_front();
}

void load::count_spooled(const std::string& agent, const std::string& answer) {
  if (answer != "spooled") return;
  const std::scoped_lock lock(mutex_);
  ++spooled_[agent];
}

int load::spooled(const std::string& agent) const {
  const std::scoped_lock lock(mutex_);
  const auto found = spooled_.find(agent);
  return found == spooled_.end() ? 0 : found->second;
}

void load::propose(caller& as, std::uint64_t n) {
  const auto number = as.name.substr(as.name.size() - 1);
  const auto agent = "agent-" + number;
  const auto dice = as.chance();
  const auto* kind = dice < 0.7 ? "good" : dice < 0.85 ? "harmful" : "poor";
  const auto subject = fmt::format("{}-{}-{}", kind, number, n);
  if (as.chance() < 0.1) {
    propose_by_command(as, agent, subject);
    return;
  }
  const auto answer = as.call(agent, "propose", subject, "/v1/proposals", proposal_named(subject));
  count_spooled(agent, answer);
  remember(subject);
  // A caller who got no answer asks again; so does one now and then for no reason.
  if (answer == "ambiguous" || as.chance() < 0.15)
    as.call(agent, "propose_again", subject, "/v1/proposals", proposal_named(subject));
}

void load::propose_by_command(caller& as, const std::string& agent, const std::string& subject) {
  const auto file = fmt::format("{}/{}.json", fleet_.directory, subject);
  std::ofstream(file) << json::serialize(proposal_named(subject));
  entry made{.who = as.name, .op = "propose", .subject = subject, .began = now()};
  const auto command = fmt::format("timeout 20 '{}' propose '{}' --json --config '{}' 2>&1; echo \"exit $?\"",
                                   daemon_binary("singularity_agent"), file, fleet_.config_path(agent));
  const auto output = shell(command);
  const bool done = output.ends_with("exit 0");
  made.answer = !done ? "ambiguous" : output.find("\"spooled\":true") == std::string::npos ? "done" : "spooled";
  made.detail["agent"] = agent;
  made.detail["by"] = "command line";
  if (!done) made.detail["output"] = output.substr(0, 300);
  record_.add(std::move(made));
  remember(subject);
}

std::string load::burst(const std::string& kind, int each) {
  constexpr int agents = 3;
  const auto names = fmt::format("{}-{}-", kind, ++bursts_);
  std::latch all_there(agents * each);
  std::vector<std::thread> at_once;
  for (int i = 0; i < agents * each; ++i) {
    at_once.emplace_back([&, i] {
      // A caller a call: nobody waits for an answer before he hands in the next one.
      const auto subject = fmt::format("{}{}-{}", names, i % agents, i / agents);
      caller as(fleet_, record_, subject, options_.seed);
      all_there.arrive_and_wait();
      as.call(fmt::format("agent-{}", i % agents), "propose", subject, "/v1/proposals", proposal_named(subject));
    });
  }
  for (auto& thread : at_once) thread.join();
  return names;
}

}  // namespace fleet::test::faults
