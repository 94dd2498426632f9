// Delays of messages, and whether the queue keeps its pace: with a snapshot held open, and over minutes.
#include <fmt/format.h>

#include <cstdio>
#include <numeric>
#include <stdexcept>

#include "tests/bench/queue_bench/sections.hpp"
#include "tests/bench/queue_bench/session.hpp"

namespace fleet::bench {

namespace {

void add_latencies(const bench& on, const subject& of, const std::string& load, const flow_result& done) {
  const auto add = [&](const std::string& what, const std::string& unit, double value) {
    on.results.add({"latency", load + ": " + what, unit}, of.name(), value);
  };
  add("p50", "ms", quantile(done.latencies_ms, 0.5));
  add("p99", "ms", quantile(done.latencies_ms, 0.99));
  add("p99.9", "ms", quantile(done.latencies_ms, 0.999));
  add("published", "messages/s", done.published.per_second());
  if (static_cast<double>(done.latencies_ms.size()) < done.published.messages)
    add("not handled within 5 s", "messages", done.published.messages - static_cast<double>(done.latencies_ms.size()));
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
  const std::string which = held ? "snapshot held open" : "none held";
  const figure share{"held snapshot", "last ÷ first, " + which, "ratio"};
  on.results.add(share, of.name(), last_to_first(done->each_second));
  const auto part = std::min<std::size_t>(10, done->each_second.size() / 3);
  on.results.add({"held snapshot", "first seconds, " + which, "messages/s"}, of.name(),
                 mean_of(done->each_second, 1, 1 + part));
  if (held && of.name() == "ours")
    on.results.add({"held snapshot", "dead tuples in message segments", "tuples"}, of.name(), dead_in_segments(of));
}

}  // namespace

void measure_latency(const bench& on) {
  for (const auto& queue : on.subjects) {
    attempt("latency, " + queue->name(), [&] {
      queue->renew();
      const auto done = queue->flow({.producers = 8, .per_second = 200, .duration = on.how.latency_duration});
      if (done) add_latencies(on, *queue, "200/s", *done);
    });
  }
  for (const auto& queue : on.subjects) {
    const auto most = on.results.median_of("produce + consume", "1 a call", queue->name());
    if (!most) continue;
    attempt("latency at 80 %, " + queue->name(), [&] {
      queue->renew();
      const auto done = queue->flow({.producers = 8, .per_second = 0.8 * *most, .duration = on.how.latency_duration});
      if (done) add_latencies(on, *queue, "80 % of its own maximum", *done);
    });
  }
}

void measure_held_snapshot(const bench& on) {
  if (auto* const ours = on.find("ours"); ours != nullptr) {
    attempt("held snapshot", [&] { measure_pace(on, *ours, on.how.held_duration, true); });
    if (on.how.unheld_duration.count() > 0)
      attempt("steady pace", [&] { measure_pace(on, *ours, on.how.unheld_duration, false); });
  }
  // The others only where there is time for it.
  if (on.how.unheld_duration.count() == 0) return;
  for (const auto& queue : on.subjects) {
    if (queue->name() == "ours" || queue->name() == "pgq_1s_ticks") continue;
    attempt("held snapshot, " + queue->name(), [&] { measure_pace(on, *queue, on.how.held_duration, true); });
  }
}

void measure_disk(const bench& on) {
  auto* const ours = on.find("ours");
  if (ours == nullptr) return;
  ours->renew();
  session admin(ours->url());
  if (admin.script("select to_regprocedure('quantumflow.rotate()')").is_null(0, 0)) {
    on.results.not_run("disk held with rotation", "the schema has no quantumflow.rotate() yet");
    return;
  }
  std::fprintf(stderr, "queue_bench: the disk section is not written yet\n");
}

}  // namespace fleet::bench
