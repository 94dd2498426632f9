// PgQ 3.5 from Debian: events by pgq.insert_event, ticks by pgqd, batches by next_batch, get_batch_events and
// finish_batch in one transaction.
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>
#include <thread>

#include "tests/bench/queue_bench/payload.hpp"
#include "tests/bench/queue_bench/session.hpp"
#include "tests/bench/queue_bench/subject.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace fleet::bench {

namespace {

publish_call publisher(const std::string& url, int batch) {
  const auto text = std::make_shared<payload>(batch == 1 ? encoding::object : encoding::array, batch);
  const std::string sql = batch == 1 ? "select pgq.insert_event('bench', 'message', $1)"
                                     : "select max(pgq.insert_event('bench', 'message', b)) from unnest($1::text[]) b";
  return
      [on = std::make_shared<session>(url), text, sql](long first) { on->query(sql, {text->numbered(first).c_str()}); };
}

/// One batch in one transaction; how many events it had, or nothing when no tick has ended one yet.
template <class Handle>
std::optional<long> take_batch(session& on, Handle handle) {
  on.query("begin");
  const auto batch = on.query("select pgq.next_batch('bench', 'bench')");
  if (batch.is_null(0, 0)) {
    on.query("commit");
    return std::nullopt;
  }
  const auto events = on.query("select ev_data from pgq.get_batch_events($1)", {batch.text(0, 0)});
  for (int row = 0; row < events.rows(); ++row) handle(events.text(row, 0));
  on.query("select pgq.finish_batch($1)", {batch.text(0, 0)});
  on.query("commit");
  return events.rows();
}

/// The ticker daemon for one database.
class ticker {
 public:
  ticker(const test::private_postgres& server, const std::string& database, double period_seconds)
      : folder_(server.directory()) {
    const auto file = folder_ + "/pgqd.ini";
    std::ofstream(file) << fmt::format(
        "[pgqd]\nlogfile = {0}/pgqd.log\npidfile = {0}/pgqd.pid\nbase_connstr = host={0} port={1} user=postgres\n"
        "initial_database = postgres\ndatabase_list = {2}\nticker_period = {3}\n",
        folder_, server.port(), database, period_seconds);
    // pgqd refuses root, as the server does, and must go when this program does.
    std::vector<std::string> words = {"setpriv", "--pdeathsig", "KILL"};
    if (::geteuid() == 0) words.insert(words.end(), {"--reuid=postgres", "--regid=postgres", "--clear-groups"});
    words.insert(words.end(), {"pgqd", "-q", file});
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    if (::posix_spawnp(&pid_, "setpriv", nullptr, nullptr, arguments.data(), environ) != 0)
      throw std::runtime_error("pgqd could not be started");
  }
  ~ticker() {
    ::kill(pid_, SIGTERM);
    for (int waited = 0; waited < 200 && ::waitpid(pid_, nullptr, WNOHANG) == 0; ++waited)
      std::this_thread::sleep_for(milliseconds(10));
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, WNOHANG);
    ::unlink((folder_ + "/pgqd.pid").c_str());
  }
  ticker(const ticker&) = delete;
  ticker& operator=(const ticker&) = delete;

 private:
  std::string folder_;
  pid_t pid_ = -1;
};

/// Asks every millisecond, which is as soon as it makes sense.
class pgq_consumer final : public running_consumer {
 public:
  pgq_consumer(std::string url, flow_clock& clock)
      : thread_([this, url = std::move(url), &clock](const std::stop_token& asked) { run(asked, url, clock); }) {}

  void stop() override {
    thread_.request_stop();
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void run(const std::stop_token& asked, const std::string& url, flow_clock& clock) {
    try {
      session on(url);
      while (!asked.stop_requested()) {
        const auto taken = take_batch(on, [&](const char* body) { clock.handled(number_in(body)); });
        if (!taken) std::this_thread::sleep_for(milliseconds(1));
      }
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  std::exception_ptr failure_;
  std::jthread thread_;
};

class pgq final : public subject {
 public:
  pgq(test::private_postgres& server, pgq_ticks ticks)
      : subject(ticks == pgq_ticks::fast ? "pgq" : "pgq_1s_ticks", server), ticks_(ticks) {}

  std::optional<tally> publish(const publish_load& load) override {
    if (ticks_ != pgq_ticks::fast) return std::nullopt;  // the ticks make no difference to it
    return publish_closed_loop(load, [&] { return publisher(url(), load.batch); });
  }

  /// One consumer: PgQ shares a queue among several only by partitioning it. A tick every 1000 events, so that batches
  /// are as large as the others'.
  std::optional<tally> drain(long backlog, int workers) override {
    if (ticks_ != pgq_ticks::fast || workers != 1) return std::nullopt;
    const auto fill = publisher(url(), 1000);
    session admin(url());
    for (long n = 0; n < backlog; n += 1000) {
      fill(n);
      admin.query("select pgq.force_tick('bench')");
      admin.query("select pgq.ticker('bench')");
    }
    return drain_closed_loop(workers, backlog, [&] {
      return [on = std::make_shared<session>(url())] { return take_batch(*on, [](const char*) {}).value_or(0); };
    });
  }

  std::optional<flow_result> flow(const flow_load& load) override {
    const ticker ticking(server(), database(), ticks_ == pgq_ticks::fast ? 0.01 : 1);
    const auto consume = [&](flow_clock& clock) -> std::unique_ptr<running_consumer> {
      return std::make_unique<pgq_consumer>(url(), clock);
    };
    return run_flow(
        load, [&] { return publisher(url(), load.batch); }, consume);
  }

  std::optional<tally> fan_out(int instances, milliseconds duration) override {
    if (ticks_ != pgq_ticks::fast) return std::nullopt;
    session admin(url());
    admin.script(fmt::format("select pgq.register_consumer('bench', 'instance_' || i) from generate_series(1, {}) i",
                             instances));
    return publish_closed_loop({.batch = 1, .connections = 8, .duration = duration},
                               [&] { return publisher(url(), 1); });
  }

 private:
  void make_schema() override {
    session admin(url());
    admin.script("create extension pgq");
    admin.script("select pgq.create_queue('bench')");
    admin.script("select pgq.register_consumer('bench', 'bench')");
    if (ticks_ == pgq_ticks::fast)
      admin.script("select pgq.set_queue_config('bench', 'ticker_max_lag', '10 milliseconds')");
  }
  pgq_ticks ticks_;
};

}  // namespace

std::unique_ptr<subject> make_pgq(test::private_postgres& server, pgq_ticks ticks) {
  return std::make_unique<pgq>(server, ticks);
}

}  // namespace fleet::bench
