#include "tests/bench/queue_bench/report.hpp"

namespace fleet::bench {

namespace {

struct place {
  std::string section;
  std::string what;
};

struct limit {
  bool at_least;
  double bound;
};
limit at_least(double bound) {
  return {true, bound};
}
limit at_most(double bound) {
  return {false, bound};
}

/// A figure of ours ÷ the same of others.
goal against(std::string text, place where, std::vector<std::string> others, limit holds) {
  return {.text = std::move(text),
          .section = std::move(where.section),
          .what = std::move(where.what),
          .subject = "ours",
          .against_what = {},
          .against = std::move(others),
          .at_least = holds.at_least,
          .bound = holds.bound};
}

/// A figure of ours as it is.
goal plain(std::string text, place where, limit holds) {
  return against(std::move(text), std::move(where), {}, holds);
}

}  // namespace

std::vector<goal> goals() {
  const place drain{"drain", "1 worker"};
  const place delay{"latency", "200/s: p50"};
  goal lanes = against("drain, 2 lanes ÷ 1 lane", {"drain", "2 workers"}, {"ours"}, at_least(1));
  lanes.against_what = drain.what;
  const std::string together = "1 a call, 8 callers of one publisher";
  goal together_publish = against("the same, 8 callers of the library's publisher ÷ raw, 8 connections",
                                  {"publish", together}, {"raw"}, at_least(0.88));
  together_publish.against_what = "1 a call, 8 connections";
  goal together_flow = against("the same, 8 producers with the library's publisher ÷ PgQ, 8 connections",
                               {"produce + consume", together}, {"pgq"}, at_least(1.05));
  together_flow.against_what = "1 a call";
  return {
      against("publish 1000 a call ÷ raw insert", {"publish", "1000 a call, 1 connection"}, {"raw"}, at_least(0.80)),
      against("the same, 8 connections ÷ raw, 8 connections", {"publish", "1000 a call, 8 connections"}, {"raw"},
              at_least(0.80)),
      against("single publish, 8 connections ÷ raw", {"publish", "1 a call, 8 connections"}, {"raw"}, at_least(0.88)),
      together_publish,
      against("drain ÷ PgQ", drain, {"pgq"}, at_least(1.2)),
      against("drain ÷ graphile-worker", drain, {"graphile_worker"}, at_least(4)),
      against("drain ÷ pg-boss", drain, {"pg_boss"}, at_least(4)),
      lanes,
      against("produce + consume, single publishes ÷ PgQ", {"produce + consume", "1 a call"}, {"pgq"}, at_least(1.05)),
      together_flow,
      plain("latency at 200/s, p50, ms", delay, at_most(1.3)),
      plain("latency at 200/s, p99, ms", {"latency", "200/s: p99"}, at_most(3)),
      against("latency at 200/s, p50 ÷ the lowest of the others", delay,
              {"pgq", "pgq_1s_ticks", "graphile_worker", "pg_boss"}, at_most(1)),
      plain("latency at 80 % of the maximum, p99, ms", {"latency", "80 % of its own maximum: p99"}, at_most(25)),
      plain("snapshot held open: last 10 s ÷ first 10 s", {"pace", "last ÷ first, snapshot held"}, at_least(0.97)),
      plain("none held, 5 minutes (--long): the same", {"pace", "last ÷ first, none held"}, at_least(0.97)),
      plain("dead tuples in message segments", {"pace", "dead tuples in message segments"}, at_most(0)),
      plain("fan-out to 200 ÷ to 1, cost of a publish", {"fan-out", "cost to 200 ÷ to 1"}, at_most(1.05)),
      plain("disk held ÷ two rotation intervals' worth", {"disk", "held ÷ two intervals' worth"}, at_most(1)),
  };
}

}  // namespace fleet::bench
