#include "tests/bench/load_bench/every_queue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "common/http/client.hpp"

namespace fleet::bench {

namespace {

namespace json = boost::json;

void must(const test::daemon_answer& answer, const std::string& what) {
  if (answer.status >= 300)
    throw std::runtime_error(fmt::format("{}: {} {}", what, answer.status, json::serialize(answer.body)));
}

void report_pattern(test::daemon_fleet& fleet, int n) {
  const auto type = fmt::format("bench-{}", n);
  const json::object body{{"pattern_type", type},
                          {"success_rate", 0.99},
                          {"agent_type", "BugFixerAgent"},
                          {"code_pattern", {{"before", "a" + type}, {"after", "b" + type}, {"description", type}}}};
  for (auto& agent : fleet.agents) must(agent->call("POST", "/v1/patterns", body), "a pattern");
}

void send_profile(const test::daemon_fleet& fleet, int n) {
  fleet.psql(
      fmt::format("select quantumflow.publish('guardian_safety_profiles_queue', jsonb_build_object("
                  "'type', 'safety_profile_update', 'instance_id', 'broadcast', 'agent_type', 'Bench{}Agent', "
                  "'safety_profile', jsonb_build_object('error_threshold', 0.2), 'source', 'operator', 'timestamp', "
                  "to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')))",
                  n));
}

/// Bucket's upper end, in seconds → messages that waited no longer. By queue.
using histograms = std::map<std::string, std::map<double, double>>;

std::string label_of(const std::string& line, const std::string& name) {
  const auto at = line.find(name + "=\"");
  if (at == std::string::npos) return {};
  const auto begin = at + name.size() + 2;
  return line.substr(begin, line.find('"', begin) - begin);
}

void add_waits(const std::string& scraped, histograms& all) {
  std::istringstream in(scraped);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("quantumflow_message_wait_seconds_bucket", 0) != 0) continue;
    const auto end = label_of(line, "le");
    const auto upto = end == "+Inf" ? std::numeric_limits<double>::infinity() : std::stod(end);
    all[label_of(line, "queue")][upto] += std::stod(line.substr(line.rfind(' ')));
  }
}

std::string scrape(const http::endpoint& from) {
  http::client_request request;
  request.to = from;
  request.target = "/metrics";
  const auto answer = http::call_blocking(std::move(request));
  if (!answer) throw std::runtime_error("/metrics: " + answer.error().message);
  return answer->body;
}

/// The upper end of the bucket that holds the share, in milliseconds.
double within_ms(const std::map<double, double>& buckets, double share) {
  const double wanted = share * buckets.rbegin()->second;
  const auto found =
      std::find_if(buckets.begin(), buckets.end(), [&](const auto& each) { return each.second >= wanted; });
  return found->first * 1000;
}

}  // namespace

void use_every_queue(test::daemon_fleet& fleet, const load_run& run) {
  const int each = std::max(3, run.proposals / 10);
  int harmed = 0;
  for (const auto& [id, agent] : run.agents) {
    if (harmed == std::min(each, run.proposals)) break;
    ++harmed;
    const json::object harm{{"error_rate", 0.9}};
    must(fleet.agent(agent).call("POST", "/v1/proposals/" + id + "/metrics", harm), "metrics of a proposal");
  }
  for (int n = 0; n < each; ++n) {
    report_pattern(fleet, n);
    send_profile(fleet, n);
  }
  const auto agents = static_cast<int>(fleet.agents.size());
  const auto wanted = fmt::format("{}|{}|{}", harmed, each * agents, each * agents);
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(60) + each * std::chrono::milliseconds(500);
  const auto found = [&] {
    return fleet.psql(
        "select (select count(*) from centralcloud.rollback where outcome = 'rolled_back'), "
        "(select count(*) from singularity.pattern where pattern_type like 'bench-%'), "
        "(select count(*) from singularity.safety_profile where agent_type like 'Bench%')");
  };
  for (std::string is = found(); is != wanted; is = found()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error("rolled back, patterns, profiles: " + is + ", expected " + wanted + "\n" + fleet.logs());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

void print_waits(const test::daemon_fleet& fleet) {
  histograms all;
  for (const auto& agent : fleet.agents) {
    http::endpoint at;
    at.unix_socket = agent->socket;
    add_waits(scrape(at), all);
  }
  for (const auto& address : fleet.coordinator_addresses)
    add_waits(scrape(http::endpoint::parse(address).value()), all);
  std::printf("\n| published → handled, ms at most | n | p50 | p90 | p99 | max |\n|---|---:|---:|---:|---:|---:|\n");
  for (const auto& [queue, buckets] : all) {
    const double n = buckets.rbegin()->second;
    if (n == 0) continue;
    std::printf("| %s | %.0f | %g | %g | %g | %g |\n", queue.c_str(), n, within_ms(buckets, 0.5),
                within_ms(buckets, 0.9), within_ms(buckets, 0.99), within_ms(buckets, 1));
  }
}

}  // namespace fleet::bench
