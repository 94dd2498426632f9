// Delays of messages, and whether the queue keeps its pace: with a snapshot held open, and over minutes.
#include <fmt/format.h>

#include <functional>
#include <map>
#include <numeric>
#include <stdexcept>

#include "tests/bench/queue_bench/sections.hpp"
#include "tests/bench/queue_bench/session.hpp"

namespace fleet::bench {

namespace {

/// The delays of all rounds together: a p99.9 needs thousands.
struct delays {
  std::vector<double> latencies_ms;
  tally published;
};

/// `load_of` answers the load for a queue, or nothing.
void measure_delays(const bench& on, const std::string& name,
                    const std::function<std::optional<flow_load>(const subject&)>& load_of) {
  std::map<std::string, delays> all;
  for (int round = 0; on.begins(round); ++round) {
    for (auto* const queue : on.of_round(round)) {
      const auto load = load_of(*queue);
      if (!load) continue;
      attempt(on, "latency at " + name + ", " + queue->name(), [&] {
        queue->renew();
        const auto done = queue->flow(*load);
        if (!done) return;
        auto& of = all[queue->name()];
        of.latencies_ms.insert(of.latencies_ms.end(), done->latencies_ms.begin(), done->latencies_ms.end());
        of.published.messages += done->published.messages;
        of.published.seconds += done->published.seconds;
      });
    }
  }
  for (const auto& queue : on.subjects) {
    const auto found = all.find(queue->name());
    if (found == all.end()) continue;
    const auto& [latencies, published] = found->second;
    const auto add = [&](const std::string& what, const std::string& unit, double value) {
      on.results.add({"latency", name + ": " + what, unit}, queue->name(), value);
    };
    add("p50", "ms", quantile(latencies, 0.5));
    add("p99", "ms", quantile(latencies, 0.99));
    add("p99.9", "ms", quantile(latencies, 0.999));
    add("published", "messages/s", published.per_second());
    const double late = published.messages - static_cast<double>(latencies.size());
    if (late > 0) add("not handled within 5 s", "messages", late);
  }
}

double mean_of(const std::vector<double>& values, std::size_t from, std::size_t to) {
  return std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(from),
                         values.begin() + static_cast<std::ptrdiff_t>(to), 0.0) /
         static_cast<double>(to - from);
}

/// The mean of the last 10 seconds ÷ that of the first 10; of shorter runs, of the last and first third.
double last_to_first(const std::vector<double>& each_second) {
  const auto size = each_second.size();
  const auto part = std::min<std::size_t>(10, size / 3);
  if (part == 0) throw std::runtime_error("nothing was consumed");
  // The first second has the connections' warm-up in it.
  const std::size_t first = size > 2 * part ? 1 : 0;
  return mean_of(each_second, size - part, size) / mean_of(each_second, first, first + part);
}

double dead_in_segments(const subject& of) {
  session admin(of.url());
  admin.query("select pg_stat_force_next_flush()");
  return static_cast<double>(admin
                                 .query("select coalesce(sum(n_dead_tup), 0)::bigint from pg_stat_user_tables "
                                        "where schemaname = 'quantumflow' and relname like 'message\\_%'")
                                 .number(0, 0));
}

void measure_pace(const bench& on, subject& of, milliseconds duration, bool held) {
  of.renew();
  session holder(of.url());
  if (held) {
    holder.script("set idle_in_transaction_session_timeout = 0");
    holder.script("begin isolation level repeatable read");
    // A transaction with an id of its own holds back more than a mere snapshot.
    holder.script("select pg_current_xact_id()");
  }
  const auto done = of.flow({.producers = 8, .batch = 1, .duration = duration});
  if (!done) return;
  const std::string which = held ? "snapshot held" : "none held";
  const figure share{"pace", "last ÷ first, " + which, "ratio"};
  on.results.add(share, of.name(), last_to_first(done->each_second));
  const auto part = std::min<std::size_t>(10, done->each_second.size() / 3);
  on.results.add({"pace", "first seconds, " + which, "messages/s"}, of.name(), mean_of(done->each_second, 1, 1 + part));
  if (held && of.name() == "ours")
    on.results.add({"pace", "dead tuples in message segments", "tuples"}, of.name(), dead_in_segments(of));
}

}  // namespace

void measure_latency(const bench& on) {
  const flow_load calm{.producers = 8, .per_second = 200, .duration = on.how.latency_duration};
  measure_delays(on, "200/s", [&](const subject&) { return calm; });
  measure_delays(on, "as a coordinator (8 lanes, 3 workers), 200/s",
                 [&](const subject& of) -> std::optional<flow_load> {
                   if (of.name() != "ours") return std::nullopt;
                   auto load = calm;
                   load.lanes = 8;
                   load.workers = 3;
                   return load;
                 });
  measure_delays(on, "80 % of its own maximum", [&](const subject& of) -> std::optional<flow_load> {
    const auto most = on.results.median_of("produce + consume", "1 a call", of.name());
    if (!most) return std::nullopt;
    return flow_load{.producers = 8, .per_second = 0.8 * *most, .duration = on.how.latency_duration};
  });
  measure_delays(on, "as a coordinator (8 lanes, 3 workers), 80 %", [&](const subject& of) -> std::optional<flow_load> {
    const auto most = on.results.median_of("produce + consume", "1 a call", of.name());
    if (!most || of.name() != "ours") return std::nullopt;
    return flow_load{
        .producers = 8, .per_second = 0.8 * *most, .duration = on.how.latency_duration, .lanes = 8, .workers = 3};
  });
}

void measure_held_snapshot(const bench& on) {
  const bool thorough = on.how.unheld_duration.count() > 0;
  auto* const ours = on.find("ours");
  auto* const raw = on.find("raw");
  // Inserting alone tells what the machine does meanwhile: from one minute to another that is more than ours may lose.
  for (int round = 0; round < on.how.rounds; ++round) {
    if (ours != nullptr) attempt(on, "pace", [&] { measure_pace(on, *ours, on.how.held_duration, true); });
    if (raw != nullptr && (round == 0 || thorough))
      attempt(on, "held snapshot, raw", [&] { measure_pace(on, *raw, on.how.held_duration, true); });
  }
  if (!thorough) return;
  if (ours != nullptr) attempt(on, "steady pace", [&] { measure_pace(on, *ours, on.how.unheld_duration, false); });
  for (const auto& queue : on.subjects) {
    if (queue.get() == ours || queue.get() == raw || queue->name() == "pgq_1s_ticks") continue;
    attempt(on, "held snapshot, " + queue->name(), [&] { measure_pace(on, *queue, on.how.held_duration, true); });
  }
}

void measure_disk(const bench& on) {
  for (const auto& queue : on.subjects) {
    attempt(on, "disk, " + queue->name(), [&] {
      queue->renew();
      const auto use = queue->disk_with_rotation(on.how.disk_messages);
      if (!use) return;
      const auto add = [&](const std::string& what, const std::string& unit, double value) {
        on.results.add({"disk", what, unit}, queue->name(), value);
      };
      add("messages consumed", "messages", use->messages);
      add("rotation interval", "s", use->interval_seconds);
      add("an interval's worth", "MB", use->interval_bytes / 1e6);
      add("held at the end", "MB", use->held_bytes / 1e6);
      add("most held", "MB", use->most_bytes / 1e6);
      add("held ÷ two intervals' worth", "ratio", use->held_bytes / (2 * use->interval_bytes));
    });
  }
}

}  // namespace fleet::bench
