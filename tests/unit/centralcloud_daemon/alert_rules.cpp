#include <catch2/catch.hpp>
#include <functional>

#include "centralcloud_daemon/alerts/rules.hpp"

using namespace fleet::central::alerts;

namespace {

/// "!name subject" for a breach, "=name subject" between the bounds, "-name subject" for a relief.
std::vector<std::string> judged(const figures& now, const std::vector<open_alert>& open = {}) {
  std::vector<std::string> found;
  for (const auto& each : judge(bounds(), now, open))
    found.push_back((each.is == verdict::breached  ? "!"
                     : each.is == verdict::between ? "="
                                                   : "-") +
                    each.name + (each.subject.empty() ? "" : " " + each.subject));
  return found;
}
using words = std::vector<std::string>;

figures healthy() {
  figures now;
  now.live_instances = 3;
  queue_figure queue;
  queue.name = "q";
  queue.readers = 1;
  now.queues.push_back(queue);
  return now;
}

}  // namespace

TEST_CASE("alert rules: nothing is wrong with a healthy fleet, nor with one that is being set up") {
  CHECK(judged(healthy()).empty());
  CHECK(judged({}).empty());
}

TEST_CASE("alert rules: each figure is a breach above its bound, stands down to four fifths, and is relieved there") {
  struct row {
    std::string alert;
    std::string subject;
    double bound;
    bool at_once;
    std::function<void(figures&, double)> set;
  };
  const auto trouble = [](figures& now, auto member, double value) {
    troubled_instance one;
    one.name = "i";
    one.*member = value;
    now.troubled = {one};
  };
  const std::vector<row> rows = {
      {"dead_letters", "q", 10, true, [](figures& now, double v) { now.queues[0].dead_letters = v; }},
      {"queue_latency", "q", 5, false, [](figures& now, double v) { now.queues[0].oldest_age_seconds = v; }},
      {"instance_silent", "i", 60, true,
       [&](figures& now, double v) { trouble(now, &troubled_instance::silent_seconds, v); }},
      {"instance_lagging", "i", 1000, true,
       [&](figures& now, double v) { trouble(now, &troubled_instance::backlog, v); }},
      {"old_snapshot", "replication_slot", 300, true,
       [](figures& now, double v) {
         now.snapshots = {{"replication_slot", "s", v, 0}};
       }},
      {"rollback_pending", "p", 120, true,
       [](figures& now, double v) {
         now.rollbacks = {{"p", "a", v}};
       }},
      {"rotation_held", "", 600, true, [](figures& now, double v) { now.held_seconds = v; }}};
  for (const auto& each : rows) {
    CAPTURE(each.alert);
    const auto name = each.alert + (each.subject.empty() ? "" : " " + each.subject);
    const std::vector<open_alert> open = {{each.alert, each.subject}};
    auto now = healthy();
    each.set(now, each.bound);
    CHECK(judged(now).empty());
    CHECK(judged(now, open) == words{"=" + name});
    each.set(now, each.bound + 0.5);
    CHECK(judged(now) == words{"!" + name});
    CHECK(judged(now, open) == words{"!" + name});
    const auto breach = judge(bounds(), now, {}).at(0);
    CHECK(breach.at_once == each.at_once);
    CHECK(breach.value == each.bound + 0.5);
    CHECK(breach.bound == each.bound);
    CHECK_FALSE(breach.text.empty());
    each.set(now, each.bound * 0.81);
    CHECK(judged(now, open) == words{"=" + name});
    each.set(now, each.bound * 0.8);
    CHECK(judged(now).empty());
    CHECK(judged(now, open) == words{"-" + name});
    // What it was about is gone.
    CHECK(judged({}, open) == words{"-" + name});
  }
}

TEST_CASE("alert rules: nobody alive is an alert, where somebody has ever been") {
  figures now;
  now.silent_instances = 2;
  CHECK(judged(now) == words{"!no_live_instance"});
  CHECK(judge(bounds(), now, {}).at(0).severity == "critical");
  now.live_instances = 1;
  CHECK(judged(now, {{"no_live_instance", ""}}) == words{"-no_live_instance"});
}

TEST_CASE("alert rules: a queue that nobody reads is late for nobody, but its dead letters count") {
  auto now = healthy();
  now.queues[0].readers = 0;
  now.queues[0].oldest_age_seconds = 1e6;
  CHECK(judged(now).empty());
  now.queues[0].dead_letters = 11;
  CHECK(judged(now) == words{"!dead_letters q"});
}

TEST_CASE("alert rules: queues are told apart") {
  auto now = healthy();
  now.queues.push_back(now.queues[0]);
  now.queues[1].name = "r";
  now.queues[1].dead_letters = 99;
  CHECK(judged(now, {{"dead_letters", "q"}}) == words{"!dead_letters r", "-dead_letters q"});
}

TEST_CASE("alert rules: what is said of a change is over when that is") {
  struct row {
    std::string alert;
    std::optional<std::string> state;
    bool silent;
    bool over;
  };
  const std::vector<row> rows = {{"metrics_missing", "watching", true, false},
                                 {"metrics_missing", "watching", false, true},
                                 {"metrics_missing", "confirmed", true, true},
                                 {"rollback_failed", "rollback_failed", false, false},
                                 {"rollback_failed", "rolled_back", false, true},
                                 {"cost_cents_breach", "watching", false, false},
                                 {"cost_cents_breach", "executing", false, false},
                                 {"cost_cents_breach", "rollback_triggered", false, true},
                                 {"cost_cents_breach", "confirmed", false, true},
                                 {"executed_without_approval", "confirmed", false, false},
                                 // Of another version: not ours to end.
                                 {"something_else", std::nullopt, false, false}};
  for (const auto& each : rows) {
    CAPTURE(each.alert, each.state.value_or(""), each.silent);
    const auto expected = each.over ? words{"-" + each.alert + " p"} : words{};
    CHECK(judged(healthy(), {{each.alert, "p", each.state, each.silent}}) == expected);
  }
}

TEST_CASE("alert rules: the texts name figures and culprits") {
  auto now = healthy();
  now.snapshots = {{"session", "session 7 of role ann", 301.4, 3}};
  CHECK(judge(bounds(), now, {}).at(0).text ==
        "a snapshot has been held for 301 s; what it can see cannot be cleaned up: session 7 of role ann");
  now = healthy();
  now.queues[0].dead_letters = 12;
  CHECK(judge(bounds(), now, {}).at(0).text == "12 dead letters in q, more than 10");
}
