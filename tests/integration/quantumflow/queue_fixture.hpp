// One loop, one database with the schema, a pool and a waker: what every queue test begins with.
#pragma once
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <vector>

#include "common/async/stop.hpp"
#include "common/quantumflow/consumer.hpp"
#include "common/quantumflow/inspect.hpp"
#include "common/quantumflow/publish.hpp"
#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

namespace fleet::test {

class queue_fixture {
 public:
  explicit queue_fixture(const std::string& database)
      : name(database),
        url(fleet_database(database)),
        pool(io.get_executor(), settings(), 8),
        waker(io.get_executor(), settings()),
        stop(io.get_executor()) {
    boost::asio::co_spawn(io, waker.run(stop.token()), boost::asio::detached);
  }
  ~queue_fixture() { stop_all(); }

  /// Ends every worker and the waker, and waits for them.
  void stop_all() {
    stop.request_soft();
    run_until(io, [this] { return running == 0; });
    stop.request_hard();
  }

  postgres::settings settings() const {
    postgres::settings made;
    made.url = url;
    return made;
  }

  /// Stops the workers when it goes: declared after them and what they use, it goes first.
  struct running_worker {
    explicit running_worker(queue_fixture& in) : fleet(in) {}
    ~running_worker() { fleet.stop_all(); }
    running_worker(const running_worker&) = delete;
    running_worker& operator=(const running_worker&) = delete;
    queue_fixture& fleet;
  };

  /// Runs a worker until the fixture's stop, which it and what it uses must outlive; one that fails is started again,
  /// as a supervisor would.
  void consume(quantumflow::consumer& worker) {
    ++running;
    boost::asio::co_spawn(io, keep(worker), [this](std::exception_ptr) { --running; });
  }
  /// The same, until the returned object goes.
  [[nodiscard]] running_worker consume_here(quantumflow::consumer& worker) {
    consume(worker);
    return running_worker(*this);
  }

  /// Looks for everybody who sleeps, as a daemon's poller does.
  void poll(quantumflow::waker& sleepers) { start(sleepers.poll(pool, stop.token())); }
  /// Listens with a waker of the test's own, and proves it, until the returned object goes.
  [[nodiscard]] running_worker listen_here(quantumflow::waker& own) {
    start(own.run(stop.token()));
    start(own.keep_proving(pool, stop.token()));
    return running_worker(*this);
  }

  std::string psql(const std::string& sql) const { return private_postgres::shared().psql(sql, name); }

  base::message_id publish(std::string queue, boost::json::object payload) {
    quantumflow::publication what{std::move(queue), std::move(payload), std::nullopt};
    return run(io, quantumflow::publish(pool, std::move(what)));
  }

  boost::asio::io_context io;
  std::string name;
  std::string url;
  postgres::pool pool;
  quantumflow::waker waker;
  async::stop_source stop;
  int running = 0;
  int restarts = 0;

 private:
  /// Something that ends at the stop.
  void start(boost::asio::awaitable<void> part) {
    ++running;
    boost::asio::co_spawn(io, std::move(part), [this](std::exception_ptr) { --running; });
  }
  boost::asio::awaitable<void> keep(quantumflow::consumer& worker) {
    while (!stop.token().soft_requested()) {
      try {
        co_await worker.run(stop.token());
      } catch (const std::exception&) {
        ++restarts;
      }
      if (!stop.token().soft_requested()) co_await stop.token().sleep_for(std::chrono::milliseconds(5));
    }
  }
};

}  // namespace fleet::test
