#include "centralcloud_daemon/alerts/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace fleet::central::alerts {
namespace {

constexpr double relief = 0.8;

constexpr std::string_view dead_letters = "dead_letters";
constexpr std::string_view queue_latency = "queue_latency";
constexpr std::string_view no_live_instance = "no_live_instance";
constexpr std::string_view instance_silent = "instance_silent";
constexpr std::string_view instance_lagging = "instance_lagging";
constexpr std::string_view old_snapshot = "old_snapshot";
constexpr std::string_view rotation_held = "rotation_held";
constexpr std::string_view rollback_pending = "rollback_pending";
constexpr std::string_view metrics_missing = "metrics_missing";
constexpr std::string_view rollback_failed = "rollback_failed";
constexpr std::string_view executed_without_approval = "executed_without_approval";

constexpr std::array of_figures = {dead_letters,     queue_latency, no_live_instance, instance_silent,
                                   instance_lagging, old_snapshot,  rotation_held,    rollback_pending};

/// Finds breaches, and remembers what is between its bounds.
class judging {
 public:
  /// `what.value` and `what.bound` are set.
  void look_at(finding what) {
    if (what.value > what.bound) {
      found.push_back(std::move(what));
      breached_.emplace(found.back().name, found.back().subject);
    } else if (what.value > what.bound * relief) {
      between_.emplace(what.name, what.subject);
    }
  }
  /// Nothing more is to be said of one that is breached.
  std::optional<verdict> of_open(const open_alert& one) const {
    const std::pair key{one.name, one.subject};
    if (breached_.contains(key)) return std::nullopt;
    return between_.contains(key) ? verdict::between : verdict::relieved;
  }

  std::vector<finding> found;

 private:
  std::set<std::pair<std::string, std::string>> breached_;
  std::set<std::pair<std::string, std::string>> between_;
};

finding made(std::string_view name, std::string subject, std::string_view severity) {
  finding what;
  what.name = name;
  what.subject = std::move(subject);
  what.severity = severity;
  what.at_once = true;
  return what;
}

void look_at_queue(judging& into, const bounds& bound, const queue_figure& queue) {
  auto dead = made(dead_letters, queue.name, "high");
  dead.value = queue.dead_letters;
  dead.bound = bound.dead_letters;
  dead.text = fmt::format("{} dead letters in {}, more than {}", queue.dead_letters, queue.name, bound.dead_letters);
  into.look_at(std::move(dead));
  if (queue.readers == 0) return;  // nobody is there to be late
  auto late = made(queue_latency, queue.name, "high");
  late.at_once = false;
  late.value = queue.oldest_age_seconds;
  late.bound = bound.queue_latency_seconds;
  late.text = fmt::format("the oldest message of {} has waited for {:.1f} s, longer than {} s", queue.name,
                          queue.oldest_age_seconds, bound.queue_latency_seconds);
  into.look_at(std::move(late));
}

void look_at_instance(judging& into, const bounds& bound, const troubled_instance& instance) {
  auto silent = made(instance_silent, instance.name, "medium");
  silent.value = instance.silent_seconds;
  silent.bound = bound.instance_silent_seconds;
  silent.text = fmt::format("the instance has not been heard of for {:.0f} s", instance.silent_seconds);
  into.look_at(std::move(silent));
  auto lagging = made(instance_lagging, instance.name, "medium");
  lagging.value = instance.backlog;
  lagging.bound = bound.instance_backlog;
  lagging.text =
      fmt::format("{} messages were set aside for the instance because it reads too slowly", instance.backlog);
  into.look_at(std::move(lagging));
}

void look_at_snapshot(judging& into, const bounds& bound, const held_snapshot& held) {
  auto old = made(old_snapshot, held.kind, "medium");
  old.value = held.seconds;
  old.bound = bound.snapshot_seconds;
  old.text = fmt::format("a snapshot has been held for {:.0f} s; what it can see cannot be cleaned up: {}",
                         held.seconds, held.holder);
  into.look_at(std::move(old));
}

void look_at_rollback(judging& into, const bounds& bound, const pending_rollback& rollback) {
  auto pending = made(rollback_pending, rollback.proposal, "high");
  pending.value = rollback.seconds;
  pending.bound = bound.rollback_pending_seconds;
  pending.text = fmt::format("{} was told {:.0f} s ago to take a change back, and has not said how that went",
                             rollback.instance, rollback.seconds);
  into.look_at(std::move(pending));
}

void look_at_fleet(judging& into, const bounds& bound, const figures& now) {
  auto nobody = made(no_live_instance, "", "critical");
  nobody.at_once = false;
  // A fleet that never had an instance is being set up.
  nobody.value = now.live_instances == 0 && now.silent_instances > 0 ? 1 : 0;
  nobody.text = fmt::format("none of the {} registered instances is alive", now.silent_instances);
  into.look_at(std::move(nobody));
  auto held = made(rotation_held, "", "medium");
  held.value = now.held_seconds;
  held.bound = bound.held_seconds;
  held.text = fmt::format("rotation of the message log has waited for {:.0f} s: {}", now.held_seconds, now.held_by);
  into.look_at(std::move(held));
}

/// Whether what the Guardian raised about a change is still so. Nothing where it is none of those.
std::optional<bool> lasts(const open_alert& one) {
  const auto state = one.change_state.value_or("");
  const bool running = state == "executing" || state == "watching";
  if (one.name == metrics_missing) return running && one.change_silent;
  if (one.name == rollback_failed) return state == rollback_failed;
  if (one.name == executed_without_approval) return true;
  if (one.name.ends_with("_breach")) return running;
  return std::nullopt;
}

}  // namespace

std::vector<finding> judge(const bounds& bound, const figures& now, const std::vector<open_alert>& open) {
  judging all;
  for (const auto& queue : now.queues) look_at_queue(all, bound, queue);
  for (const auto& instance : now.troubled) look_at_instance(all, bound, instance);
  for (const auto& held : now.snapshots) look_at_snapshot(all, bound, held);
  for (const auto& rollback : now.rollbacks) look_at_rollback(all, bound, rollback);
  look_at_fleet(all, bound, now);
  for (const auto& one : open) {
    const bool ours = std::find(of_figures.begin(), of_figures.end(), one.name) != of_figures.end();
    std::optional<verdict> now_it_is;
    if (ours) {
      now_it_is = all.of_open(one);
    } else if (!lasts(one).value_or(true)) {
      now_it_is = verdict::relieved;
    }
    if (!now_it_is) continue;
    auto known = made(one.name, one.subject, {});
    known.is = *now_it_is;
    all.found.push_back(std::move(known));
  }
  return std::move(all.found);
}

std::vector<std::string_view> alert_names() {
  std::vector<std::string_view> names(of_figures.begin(), of_figures.end());
  names.insert(names.end(), {metrics_missing, rollback_failed, executed_without_approval});
  return names;
}

}  // namespace fleet::central::alerts
