// QuantumFlow, the one file that knows its interface: publishing and draining through SQL, and the library's consumer
// for everything where a message has to be waited for.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>

#include "common/quantumflow/consumer.hpp"
#include "common/quantumflow/publisher.hpp"
#include "tests/bench/queue_bench/payload.hpp"
#include "tests/bench/queue_bench/session.hpp"
#include "tests/bench/queue_bench/subject.hpp"
#include "tests/support/daemons.hpp"

namespace fleet::bench {

namespace {

constexpr int take_size = 1000;
constexpr auto group = "bench";

std::string lanes_queue(int lanes) {
  return fmt::format("bench_{}_lanes", lanes);
}

/// A message a call, or many in one statement; with the keys, which spares the server reading them from the payloads.
publish_call publisher(const std::string& url, const std::string& queue, int batch) {
  const auto on = std::make_shared<session>(url);
  const auto text = std::make_shared<payload>(batch == 1 ? encoding::object : encoding::array, batch);
  if (batch == 1) {
    const auto one = fmt::format("select quantumflow.publish('{}', $1, key => $2)", queue);
    return [on, text, one](long first) {
      const auto& body = text->numbered(first);
      const auto key = text->key();
      on->query(one, {body.c_str(), key.c_str()});
    };
  }
  const auto many = fmt::format("select quantumflow.publish_many('{}', $1, $2)", queue);
  return [on, text, many](long first) {
    const auto& bodies = text->numbered(first);
    const auto keys = text->keys();
    on->query(many, {bodies.c_str(), keys.c_str()});
  };
}

postgres::settings settings_of(const std::string& url) {
  postgres::settings made;
  made.url = url;
  return made;
}

/// The library's publisher with callers that each publish one message after the other, as coroutines of a daemon do.
class library_publisher {
 public:
  /// What a caller does until it is enough: the number of its next message, or nothing.
  using next_number = std::function<std::optional<long>()>;

  library_publisher(const std::string& url, std::string queue)
      : queue_(std::move(queue)),
        pool_(io_.get_executor(), settings_of(url), 2),
        stop_(io_.get_executor()),
        publisher_(pool_),
        running_(boost::asio::co_spawn(io_, publisher_.run(stop_.token()), boost::asio::use_future)),
        thread_([this] { io_.run(); }) {}
  ~library_publisher() {
    boost::asio::post(io_, [this] { stop_.request_soft(); });
    thread_.join();
  }

  /// Returns when all callers have ended; throws what the first of them threw.
  void run(int callers, const next_number& next) {
    std::vector<std::future<void>> all;
    for (int k = 0; k < callers; ++k) all.push_back(boost::asio::co_spawn(io_, call(next), boost::asio::use_future));
    for (const auto& each : all) each.wait();
    for (auto& each : all) each.get();
  }

 private:
  boost::asio::awaitable<void> call(next_number next) {
    payload text(encoding::object, 1);
    auto body = boost::json::parse(text.numbered(0)).as_object();
    while (const auto number = next()) {
      text.numbered(*number);
      body["n"] = number_of(*number);
      body["key"] = text.key();
      quantumflow::publication what{.queue = queue_, .payload = body, .ordering_key = text.key()};
      co_await publisher_.publish(std::move(what));
    }
  }

  std::string queue_;
  boost::asio::io_context io_{1};
  postgres::pool pool_;
  async::stop_source stop_;
  quantumflow::publisher publisher_;
  std::future<void> running_;
  std::thread thread_;
};

/// The library's consumer with its waker on a loop of its own, as a daemon runs them.
class library_consumer final : public running_consumer {
 public:
  library_consumer(const std::string& url, const std::string& queue, int workers, flow_clock& clock)
      : pool_(io_.get_executor(), settings_of(url), static_cast<std::size_t>(workers) + 1),
        waker_(io_.get_executor(), settings_of(url)),
        stop_(io_.get_executor()) {
    for (int i = 0; i < workers; ++i)
      workers_.push_back(std::make_unique<quantumflow::consumer>(pool_, waker_, options_of(queue), handler_of(clock)));
    thread_ = std::thread([this] { run(); });
  }

  ~library_consumer() override { join(); }
  void stop() override {
    join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  static quantumflow::consumer_options options_of(const std::string& queue) {
    quantumflow::consumer_options made;
    made.queue = queue;
    made.group = group;
    made.batch_size = take_size;
    return made;
  }
  static quantumflow::batch_handler handler_of(flow_clock& clock) {
    return [&clock](postgres::transaction&, std::span<const quantumflow::message> batch)
               -> boost::asio::awaitable<std::vector<quantumflow::outcome>> {
      for (const auto& each : batch) clock.handled(number_in(each.body.c_str()));
      co_return std::vector<quantumflow::outcome>(batch.size());
    };
  }
  void run() {
    const auto note = [this](std::exception_ptr thrown) {
      if (thrown) failure_ = thrown;
    };
    boost::asio::co_spawn(io_, waker_.run(stop_.token()), note);
    for (const auto& each : workers_) boost::asio::co_spawn(io_, each->run(stop_.token()), note);
    io_.run();
  }
  void join() {
    if (!thread_.joinable()) return;
    boost::asio::post(io_, [this] { stop_.request_soft(); });
    thread_.join();
  }

  boost::asio::io_context io_{1};
  postgres::pool pool_;
  quantumflow::waker waker_;
  async::stop_source stop_;
  std::vector<std::unique_ptr<quantumflow::consumer>> workers_;
  std::exception_ptr failure_;
  std::thread thread_;
};

/// What the coordinators do to the queue at intervals, every `pause` here: until it is destroyed.
class upkeep {
 public:
  upkeep(std::string url, std::string rotate_after, milliseconds pause)
      : pause_(pause),
        thread_([this, url = std::move(url), after = std::move(rotate_after)](const std::stop_token& asked) {
          run(asked, url, after);
        }) {}

  static double segment_bytes(session& on) {
    return std::strtod(on.query("select sum(pg_total_relation_size(oid)) from pg_class where relkind = 'r' and "
                                "relnamespace = 'quantumflow'::regnamespace and relname ~ '^message_[0-9]+$'")
                           .text(0, 0),
                       nullptr);
  }
  /// Ends it. Throws what ended it before.
  double most_bytes() {
    thread_.request_stop();
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
    return most_bytes_;
  }

 private:
  void run(const std::stop_token& asked, const std::string& url, const std::string& after) {
    try {
      session on(url);
      while (!asked.stop_requested()) {
        on.query("select quantumflow.trim_positions()");
        on.query("select quantumflow.rotate('" + after + "')");
        most_bytes_ = std::max(most_bytes_, segment_bytes(on));
        // In steps, so that it can be stopped.
        for (auto left = pause_; left.count() > 0 && !asked.stop_requested(); left -= milliseconds(20))
          std::this_thread::sleep_for(milliseconds(20));
      }
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  milliseconds pause_;
  double most_bytes_ = 0;
  std::exception_ptr failure_;
  std::jthread thread_;
};

class ours final : public subject {
 public:
  explicit ours(test::private_postgres& server) : subject("ours", server) {}

  std::optional<tally> publish(const publish_load& load) override {
    return publish_closed_loop(load, [&] { return publisher(url(), lanes_queue(8), load.batch); });
  }

  std::optional<tally> publish_together(int callers, milliseconds duration) override {
    library_publisher with(url(), lanes_queue(8));
    const auto start = steady::now();
    long published = 0;  // for the publisher's thread
    with.run(callers, [&]() -> std::optional<long> {
      if (steady::now() >= start + duration) return std::nullopt;
      return published++;
    });
    return tally{static_cast<double>(published), std::chrono::duration<double>(steady::now() - start).count()};
  }

  std::optional<tally> drain(long backlog, int workers) override {
    const auto queue = lanes_queue(workers);
    const auto fill = publisher(url(), queue, take_size);
    for (long n = 0; n < backlog; n += take_size) fill(n);
    const auto take = fmt::format("select body from quantumflow.take_lane('{}', '{}', {})", queue, group, take_size);
    return drain_closed_loop(workers, backlog, [&] {
      return [on = std::make_shared<session>(url()), take] {
        on->query("begin");
        const long taken = on->query(take).rows();
        on->query("commit");
        return taken;
      };
    });
  }

  std::optional<flow_result> flow(const flow_load& load) override {
    upkeep running(url(), "60 s", milliseconds(1000));
    auto done = flow_on(lanes_queue(load.lanes), load);
    running.most_bytes();
    return done;
  }

  std::optional<tally> fan_out(int instances, milliseconds duration) override {
    session admin(url());
    admin.script(
        fmt::format("select quantumflow.subscribe('bench_broadcast', 'instance_' || i) "
                    "from generate_series(1, {}) i",
                    instances));
    return publish_closed_loop({.batch = 1, .connections = 8, .duration = duration},
                               [&] { return publisher(url(), "bench_broadcast", 1); });
  }

  std::optional<disk_use> disk_with_rotation(long messages) override {
    session admin(url());
    const auto fill = publisher(url(), lanes_queue(1), take_size);
    constexpr long sample = 10'000;
    for (long n = 0; n < sample; n += take_size) fill(-n - take_size);  // as a warm-up: not counted
    const double message_bytes = upkeep::segment_bytes(admin) / sample;
    constexpr double interval_seconds = 1;
    upkeep rotating(url(), "1 s", milliseconds(200));
    const auto done = flow_on(lanes_queue(1), {.batch = 100, .duration = milliseconds(120'000), .messages = messages});
    // The last message may have come just after a rotation: what it stands in is cut by the next one.
    std::this_thread::sleep_for(milliseconds(static_cast<int>(1000 * interval_seconds)));
    return disk_use{.messages = done.consumed.messages,
                    .interval_seconds = interval_seconds,
                    .interval_bytes = done.consumed.per_second() * interval_seconds * message_bytes,
                    .held_bytes = upkeep::segment_bytes(admin),
                    .most_bytes = rotating.most_bytes()};
  }

 private:
  flow_result flow_on(const std::string& queue, const flow_load& load) {
    const auto consume = [&](flow_clock& clock) -> std::unique_ptr<running_consumer> {
      return std::make_unique<library_consumer>(url(), queue, load.workers, clock);
    };
    if (!load.together)
      return run_flow(
          load, [&] { return publisher(url(), queue, load.batch); }, consume);
    return run_flow_of(
        load,
        [&](flow_clock& clock) {
          library_publisher with(url(), queue);
          int warm_ups = 8 * load.producers;
          with.run(load.producers, [&]() -> std::optional<long> {
            if (warm_ups-- <= 0) return std::nullopt;
            return clock.begin_warm_up(1);
          });
          clock.wait_warm();
          clock.start();
          const auto start = steady::now();
          with.run(load.producers, [&]() -> std::optional<long> {
            if (steady::now() >= start + load.duration) return std::nullopt;
            return clock.begin_call(1);
          });
        },
        consume);
  }

  void make_schema() override {
    const auto migrate = fmt::format("'{}' migrate --database.url '{}' > /dev/null 2>&1",
                                     test::daemon_binary("centralcloud_daemon"), url());
    if (std::system(migrate.c_str()) != 0) throw std::runtime_error("failed: " + migrate);
    session admin(url());
    for (const int lanes : {1, 2, 4, 8})
      admin.script(fmt::format("select quantumflow.declare_queue('{}', 'lanes', '{{key}}', {}, '{}')",
                               lanes_queue(lanes), lanes, group));
    admin.script("select quantumflow.declare_queue('bench_broadcast', 'broadcast', '{key}')");
  }
};

}  // namespace

std::unique_ptr<subject> make_ours(test::private_postgres& server) {
  return std::make_unique<ours>(server);
}

}  // namespace fleet::bench
