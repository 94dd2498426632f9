// Publishing, draining, both at once, and fan-out: messages a second, and what a message costs the server.
#include <fmt/format.h>

#include <cstdio>
#include <stdexcept>

#include "tests/bench/queue_bench/sections.hpp"
#include "tests/bench/queue_bench/session.hpp"

namespace fleet::bench {

namespace {

/// What the server has written and done so far, for one database.
struct server_work {
  double wal_bytes = 0;
  double commits = 0;
  double dead_tuples = 0;  ///< row versions replaced or deleted
};

server_work work_of(const bench& on, const subject& of) {
  session admin(on.server.url());
  // Sessions report what they did when they end; those of the load have just ended.
  const auto row = admin.query(
      fmt::format("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn, xact_commit, tup_updated + tup_deleted "
                  "from pg_stat_database where datname = '{}'",
                  of.database()));
  return {std::strtod(row.text(0, 0), nullptr), std::strtod(row.text(0, 1), nullptr),
          std::strtod(row.text(0, 2), nullptr)};
}

void add_work(const bench& on, const subject& of, const std::string& section, const std::string& what,
              const server_work& before, double messages) {
  const auto after = work_of(on, of);
  on.results.add({section, what + ": WAL", "bytes a message"}, of.name(),
                 (after.wal_bytes - before.wal_bytes) / messages);
  on.results.add({section, what + ": commits", "a message"}, of.name(), (after.commits - before.commits) / messages);
  on.results.add({section, what + ": dead tuples", "a message"}, of.name(),
                 (after.dead_tuples - before.dead_tuples) / messages);
}

std::string together(int callers) {
  return fmt::format("1 a call, {} callers of one publisher", callers);
}

std::string plural(int count, const std::string& what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

subject* bench::find(const std::string& name) const {
  for (const auto& each : subjects) {
    if (each->name() == name) return each.get();
  }
  return nullptr;
}

std::vector<subject*> bench::of_round(int round) const {
  std::vector<subject*> made;
  for (const auto& each : subjects) {
    if (round == 0 || !each->slow()) made.push_back(each.get());
  }
  return made;
}

void attempt(const bench& on, const std::string& what, const std::function<void()>& measure) {
  try {
    measure();
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "queue_bench: %s: %s\n", what.c_str(), failure.what());
    on.results.not_run(what, failure.what());
  }
}

void measure_publish(const bench& on) {
  struct cell {
    int batch;
    int connections;
  };
  std::vector<cell> cells;
  for (const int connections : on.how.connections) cells.push_back({1, connections});
  for (const int batch : {100, 1000}) cells.insert(cells.end(), {{batch, 1}, {batch, 8}});
  for (int round = 0; on.begins(round); ++round) {
    for (const auto& at : cells) {
      for (auto* const queue : on.of_round(round)) {
        attempt(on, "publish, " + queue->name(), [&] {
          queue->renew();
          const auto done =
              queue->publish({.batch = at.batch, .connections = at.connections, .duration = on.how.publish_duration});
          const auto what = fmt::format("{} a call, {}", at.batch, plural(at.connections, "connection"));
          if (done) on.results.add({"publish", what, "messages/s"}, queue->name(), done->per_second());
        });
      }
    }
    for (const int callers : {8, 64}) {
      for (auto* const queue : on.of_round(round)) {
        attempt(on, "publish together, " + queue->name(), [&] {
          queue->renew();
          const auto done = queue->publish_together(callers, on.how.publish_duration);
          if (done) on.results.add({"publish", together(callers), "messages/s"}, queue->name(), done->per_second());
        });
      }
    }
  }
}

void measure_drain(const bench& on) {
  for (int round = 0; on.begins(round); ++round) {
    for (const int workers : {1, 2, 4, 8}) {
      for (auto* const queue : on.of_round(round)) {
        attempt(on, "drain, " + queue->name(), [&] {
          queue->renew();
          const auto done = queue->drain(on.how.backlog, workers);
          if (done)
            on.results.add({"drain", plural(workers, "worker"), "messages/s"}, queue->name(), done->per_second());
        });
      }
    }
  }
}

void measure_produce_and_consume(const bench& on) {
  for (int round = 0; on.begins(round); ++round) {
    for (const int batch : {1, 100}) {
      for (auto* const queue : on.of_round(round)) {
        if (queue->name() == "pgq_1s_ticks" || queue->name() == "raw") continue;
        attempt(on, "produce + consume, " + queue->name(), [&] {
          queue->renew();
          const auto before = work_of(on, *queue);
          const auto done = queue->flow({.producers = 8, .batch = batch, .duration = on.how.flow_duration});
          if (!done) return;
          const auto what = fmt::format("{} a call", batch);
          on.results.add({"produce + consume", what, "messages/s"}, queue->name(), done->consumed.per_second());
          add_work(on, *queue, "cost of produce + consume", what, before, done->published.messages);
        });
      }
    }
    auto* const ours = on.find("ours");
    for (const int callers : {8, 64}) {
      if (ours == nullptr) continue;
      attempt(on, "produce together + consume", [&] {
        ours->renew();
        const auto done = ours->flow({.producers = callers, .duration = on.how.flow_duration, .together = true});
        on.results.add({"produce + consume", together(callers), "messages/s"}, "ours", done->consumed.per_second());
      });
    }
  }
}

void measure_fan_out(const bench& on) {
  for (int round = 0; on.begins(round); ++round) {
    for (auto* const queue : on.of_round(round)) {
      double cost_to_one = 0;
      for (const int instances : {1, 200, 50}) {
        attempt(on, "fan-out, " + queue->name(), [&] {
          queue->renew();
          const auto done = queue->fan_out(instances, on.how.fan_out_duration);
          if (!done) return;
          const double rate = done->per_second();
          on.results.add({"fan-out", "to " + plural(instances, "instance"), "publishes/s"}, queue->name(), rate);
          if (instances == 1) cost_to_one = 1 / rate;
          if (instances == 200 && cost_to_one > 0)
            on.results.add({"fan-out", "cost to 200 ÷ to 1", "ratio"}, queue->name(), 1 / rate / cost_to_one);
        });
      }
    }
  }
}

}  // namespace fleet::bench
