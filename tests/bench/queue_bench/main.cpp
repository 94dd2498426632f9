// Compares QuantumFlow with the raw limit and with other queues on one PostgreSQL; see ../README.md.
//   queue_bench [--quick | --long] [--only SECTION]... [--json FILE] [--rivals FOLDER]
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "tests/bench/queue_bench/sections.hpp"
#include "tests/bench/queue_bench/session.hpp"

using namespace fleet::bench;
using fleet::test::private_postgres;

namespace {

struct section {
  std::string name;
  void (*measure)(const bench&);
  std::chrono::seconds for_rounds{0};  ///< no round is begun after that, however busy the machine
};

const std::vector<section>& sections() {
  static const std::vector<section> all = {{"publish", measure_publish, std::chrono::seconds(130)},
                                           {"drain", measure_drain, std::chrono::seconds(130)},
                                           {"flow", measure_produce_and_consume, std::chrono::seconds(80)},
                                           {"latency", measure_latency, std::chrono::seconds(90)},
                                           {"fan-out", measure_fan_out, std::chrono::seconds(70)},
                                           {"held", measure_held_snapshot},
                                           {"disk", measure_disk}};
  return all;
}

struct arguments {
  plan how;
  std::string mode = "full";
  std::vector<std::string> only;
  std::string json_file;
  std::string rivals;
};

plan quick_plan() {
  plan made;
  made.rounds = 1;
  made.connections = {1, 8};
  made.publish_duration = milliseconds(500);
  made.backlog = 30'000;
  made.flow_duration = milliseconds(1500);
  made.latency_duration = milliseconds(2500);
  made.held_duration = milliseconds(12'000);
  made.fan_out_duration = milliseconds(500);
  made.disk_messages = 100'000;
  return made;
}

void print_help() {
  fmt::print(
      "queue_bench [--quick | --long] [--only SECTION]... [--json FILE] [--rivals FOLDER]\n"
      "  --quick    1.5 to 3 minutes, for a first look     --long  also five minutes of steady load\n"
      "  --only     one of:");
  for (const auto& each : sections()) fmt::print(" {}", each.name);
  fmt::print(
      "\n"
      "  --json     also writes the figures there\n"
      "  --rivals   where graphile-worker and pg-boss are installed (tests/bench/queue_bench.sh does that)\n");
}

arguments parse(int argc, char** argv) {
  arguments made;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&] {
      if (++i >= argc) throw std::invalid_argument(name + ": expected a value");
      return std::string(argv[i]);
    };
    if (name == "--quick") {
      made.how = quick_plan();
      made.mode = "quick";
    } else if (name == "--long") {
      made.how.unheld_duration = milliseconds(300'000);
      made.how.disk_messages = 2'000'000;
      made.mode = "long";
    } else if (name == "--only") {
      made.only.push_back(value());
      const bool known = std::any_of(sections().begin(), sections().end(),
                                     [&](const section& each) { return each.name == made.only.back(); });
      if (!known) throw std::invalid_argument("--only: there is no section \"" + made.only.back() + "\"");
    } else if (name == "--json") {
      made.json_file = value();
    } else if (name == "--rivals") {
      made.rivals = value();
    } else {
      throw std::invalid_argument(name + ": unknown; known are --quick, --long, --only, --json, --rivals");
    }
  }
  return made;
}

const std::map<std::string, std::string>& server_settings() {
  static const std::map<std::string, std::string> settings = {
      {"shared_buffers", "512MB"}, {"max_wal_size", "4GB"}, {"max_connections", "200"}};
  return settings;
}

std::vector<std::unique_ptr<subject>> prepared_subjects(private_postgres& server, report& results,
                                                        const std::string& rivals) {
  std::vector<std::unique_ptr<subject>> all;
  all.push_back(make_raw(server, raw_form::insert));
  all.push_back(make_ours(server));
  all.push_back(make_raw(server, raw_form::copy));
  all.push_back(make_pgq(server, pgq_ticks::fast));
  all.push_back(make_pgq(server, pgq_ticks::recommended));
  all.push_back(make_node_rival(server, {"graphile_worker", rivals, "graphile_worker.mjs"}));
  all.push_back(make_node_rival(server, {"pg_boss", rivals, "pg_boss.mjs"}));
  std::erase_if(all, [&](const std::unique_ptr<subject>& each) {
    try {
      each->prepare();
      return false;
    } catch (const std::exception& reason) {
      if (each->name() == "ours") throw;
      results.not_run(each->name(), reason.what());
      return true;
    }
  });
  return all;
}

std::string first_line(const std::string& file, const std::string& starts) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(starts)) continue;
    const auto colon = line.find(':');
    return colon == std::string::npos ? line : line.substr(line.find_first_not_of(" \t", colon + 1));
  }
  return "unknown";
}

std::vector<std::pair<std::string, std::string>> machine(const private_postgres& server, const std::string& mode,
                                                         const std::string& load_at_start) {
  std::string settings = "fsync on, synchronous_commit on";
  for (const auto& [name, value] : server_settings()) settings += ", " + name + " " + value;
  return {{"machine", fmt::format("{} × {}, {} of memory", std::thread::hardware_concurrency(),
                                  first_line("/proc/cpuinfo", "model name"), first_line("/proc/meminfo", "MemTotal"))},
          {"server", server.psql("select 'PostgreSQL ' || current_setting('server_version')") + ", " + settings},
          {"load average at the start", load_at_start},
          {"at the end", first_line("/proc/loadavg", "")},
          {"mode", mode}};
}

void run(const arguments& given) {
  const auto load_at_start = first_line("/proc/loadavg", "");
  private_postgres server({.fsync = true, .settings = server_settings()});
  report results;
  auto subjects = prepared_subjects(server, results, given.rivals);
  bench on{server, subjects, results, given.how};
  const auto began = steady::now();
  for (const auto& each : sections()) {
    // The latency at 80 % of the maximum needs to know the maximum.
    const auto wanted = [&](const std::string& name) {
      return std::find(given.only.begin(), given.only.end(), name) != given.only.end();
    };
    if (!given.only.empty() && !wanted(each.name) && !(each.name == "flow" && wanted("latency"))) continue;
    std::fprintf(stderr, "queue_bench: %s, after %.0f s\n", each.name.c_str(),
                 std::chrono::duration<double>(steady::now() - began).count());
    session(server.url()).script("checkpoint");
    on.rounds_until = steady::now() + each.for_rounds;
    each.measure(on);
  }
  auto about = machine(server, given.mode, load_at_start);
  about.emplace_back("duration", fmt::format("{:.0f} s", std::chrono::duration<double>(steady::now() - began).count()));
  results.set_machine(std::move(about));
  std::printf("%s", results.text(goals()).c_str());
  if (!given.json_file.empty()) std::ofstream(given.json_file) << boost::json::serialize(results.json(goals())) << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  arguments given;
  if (argc == 2 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h")) {
    print_help();
    return 0;
  }
  try {
    given = parse(argc, argv);
  } catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr, "queue_bench: %s\n", wrong.what());
    return 2;
  }
  try {
    run(given);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "queue_bench: %s\n", failure.what());
    return 1;
  }
  return 0;
}
