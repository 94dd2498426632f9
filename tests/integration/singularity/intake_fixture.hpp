// An agent's intake with a spool of its own, with the database or without.
#pragma once
#include <boost/json/parse.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "singularity_agent/intake/intake.hpp"
#include "tests/integration/singularity/agent_fixture.hpp"

namespace fleet::test {

class intake_fixture : public agent_fixture {
 public:
  explicit intake_fixture(const std::string& database)
      : agent_fixture(database),
        directory(std::filesystem::temp_directory_path() / ("intake-" + base::new_uuid())),
        nowhere(io.get_executor(), unreachable(), 2) {
    std::filesystem::create_directories(directory);
    run(io, quantumflow::subscribe(pool, "consensus_results_queue", self.str()));
    reopen(nowhere);
  }
  ~intake_fixture() {
    stop_all();
    taking.reset();
    std::filesystem::remove_all(directory);
  }

  /// As an agent that was started again, with or without a database.
  void reopen(postgres::pool& connections) {
    taking.reset();
    quantumflow::spool_options options;
    options.path = directory / "spool.db";
    options.max_bytes = max_bytes;
    auto opened = quantumflow::spool::open(std::move(options)).value();
    spool = opened.get();
    agent::intake::intake::parts parts{connections, applier, self, log, registry};
    if (&connections == &nowhere) parts.until_away = std::chrono::milliseconds(100);
    taking = std::make_unique<agent::intake::intake>(std::move(parts), std::move(opened));
  }
  agent::intake::answer take(agent::intake::kind what, const std::string& body) {
    return run(io, taking->take(what, boost::json::parse(body).as_object()));
  }
  void start_replay() {
    ++running;
    boost::asio::co_spawn(io, taking->replay(stop.token()), [this](std::exception_ptr) { --running; });
  }
  void replay() {
    start_replay();
    // Told only after it was done.
    const auto told = [this] {
      return registry.exposition().find("singularity_spool_entries 0\n") != std::string::npos;
    };
    const bool empty = run_until(io, [&] { return spool->stats().entries == 0 && told(); });
    CHECK(empty);
  }
  /// One sample of each watched change, on its way to the Guardian.
  void sample_watched() {
    run_until(io, [&] { return run(io, watch.round()) > 0; });
    report_all();
  }
  std::string error_of(agent::intake::kind what, const std::string& body) {
    try {
      take(what, body);
    } catch (const base::failure& failure) {
      return failure.what();
    }
    return "none";
  }

  std::filesystem::path directory;
  std::uint64_t max_bytes = 1U << 20;
  postgres::pool nowhere;
  telemetry::metrics registry;
  agent::intake::applier applier{{*queue, *votes, out, samples, wake, agent::proposals::change_form::git}};
  quantumflow::spool* spool = nullptr;
  std::unique_ptr<agent::intake::intake> taking;

 private:
  static postgres::settings unreachable() {
    postgres::settings how;
    how.url = "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1";
    return how;
  }
};

inline const std::string pattern =
    R"({"pattern_type":"cache","code_pattern":{"before":"a","after":"b","description":"c"},)"
    R"("success_rate":0.97,"agent_type":"T"})";

}  // namespace fleet::test
