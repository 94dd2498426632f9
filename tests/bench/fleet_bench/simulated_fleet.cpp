#include "tests/bench/fleet_bench/simulated_fleet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <stdexcept>

#include "common/base/json.hpp"
#include "common/base/time.hpp"
#include "common/messages/queues.hpp"
#include "common/quantumflow/publish.hpp"
#include "tests/support/run.hpp"

namespace fleet::bench {

namespace {

constexpr std::chrono::milliseconds heartbeat{2'000};
constexpr std::chrono::milliseconds longest_queue{60'000};

postgres::settings settings_of(const simulated_options& options) {
  postgres::settings how;
  how.url = options.url;
  how.application_name = "simulated agents";
  return how;
}

std::string now_text() {
  return base::format_rfc3339(base::system_clock().now());
}

}  // namespace

simulated_fleet::simulated_fleet(simulated_options options)
    : options_(std::move(options)),
      stop_(io_.get_executor()),
      pool_(io_.get_executor(), settings_of(options_), options_.connections) {
  for (int instance = 0; instance < options_.instances; ++instance) {
    auto& waker =
        *wakers_.emplace_back(std::make_unique<quantumflow::waker>(io_.get_executor(), settings_of(options_)));
    spawn(live(waker, instance));
    spawn(beat(instance));
    for (const auto& queue : messages::all_queues()) {
      if (queue.read_by != messages::queue_reader::agent) continue;
      for (int n = 0; n < queue.workers; ++n) spawn(work(std::string(queue.name), instance));
    }
  }
}

simulated_fleet::~simulated_fleet() {
  stop_.request_hard();
  run_until([this] { return running_ == 0; }, std::chrono::seconds(30));
}

std::string simulated_fleet::name_of(int instance) {
  return fmt::format("instance-{:04}", instance);
}

void simulated_fleet::register_all(const std::function<void(const std::string& sql)>& psql, int instances, int voters) {
  psql(
      fmt::format("select centralcloud.heartbeat('instance-' || lpad(n::text, 4, '0'), 'simulated', "
                  "case when n < {} then '{{proposer,voter,executor}}' else '{{proposer,executor}}' end::text[]) "
                  "from generate_series(0, {}) n",
                  voters, instances - 1));
  for (const auto& queue : messages::all_queues()) {
    if (queue.read_by != messages::queue_reader::agent) continue;
    psql(
        fmt::format("select quantumflow.subscribe('{}', 'instance-' || lpad(n::text, 4, '0')) "
                    "from generate_series(0, {}) n",
                    queue.name, instances - 1));
  }
}

void simulated_fleet::spawn(boost::asio::awaitable<void> work) {
  ++running_;
  boost::asio::co_spawn(io_, std::move(work), [this](const std::exception_ptr&) { --running_; });
}

/// A fleet's agents were not all started at the same moment.
boost::asio::awaitable<void> simulated_fleet::start_turn(int instance) {
  const std::chrono::milliseconds turn(instance * 5'000 / options_.instances);
  co_await stop_.token().sleep_for(turn);
}

/// The listening session and the poller.
boost::asio::awaitable<void> simulated_fleet::live(quantumflow::waker& waker, int instance) {
  co_await start_turn(instance);
  if (options_.listens) {
    spawn(waker.run(stop_.token()));
    spawn(waker.keep_proving(pool_, stop_.token()));
  }
  co_await waker.poll(pool_, stop_.token());
}

std::size_t simulated_fleet::listening() const {
  const auto listens = [](const auto& waker) { return waker->listening(); };
  return static_cast<std::size_t>(std::count_if(wakers_.begin(), wakers_.end(), listens));
}

/// Started again after a failure, as the daemons' supervisor does.
boost::asio::awaitable<void> simulated_fleet::work(std::string queue, int instance) {
  quantumflow::consumer_options how;
  how.queue = queue;
  how.group = name_of(instance);
  const auto handler = [this, queue, instance](postgres::transaction& in, std::span<const quantumflow::message> batch) {
    return handle(in, batch, queue, instance);
  };
  quantumflow::consumer worker(pool_, *wakers_[static_cast<std::size_t>(instance)], how, handler);
  const auto stop = stop_.token();
  co_await start_turn(instance);
  while (!stop.soft_requested()) {
    std::string failed;
    try {
      co_await worker.run(stop);
    } catch (const std::exception& error) {
      failed = error.what();
    }
    if (failed.empty()) continue;
    ++failures_[failed.substr(0, 80)];
    co_await stop.sleep_for(std::chrono::seconds(1));
  }
}

boost::asio::awaitable<void> simulated_fleet::beat(int instance) {
  const std::vector<std::string> voter{"proposer", "voter", "executor"};
  const std::vector<std::string> other{"proposer", "executor"};
  const auto stop = stop_.token();
  co_await start_turn(instance);
  bool alive = true;
  while (alive) {
    try {
      auto connection = co_await pool_.acquire();
      auto arguments =
          postgres::make_params(name_of(instance), "simulated", instance < options_.voters ? voter : other);
      co_await connection->query("select centralcloud.heartbeat($1, $2, $3)", std::move(arguments));
    } catch (const base::failure& failure) {
      ++failures_[std::string("heartbeat: ") + failure.what()];
    }
    alive = co_await stop.sleep_for(heartbeat);
  }
}

boost::asio::awaitable<std::vector<quantumflow::outcome>> simulated_fleet::handle(
    postgres::transaction& in, std::span<const quantumflow::message> batch, const std::string& queue, int instance) {
  for (const auto& each : batch) {
    auto body = base::parse_json_object(each.body).value();
    if (queue == messages::queues::consensus_patterns) {
      seen_[std::string(body.at("pattern_id").as_string())].push_back(steady::now());
      if (++handled_[{std::string(body.at("pattern_id").as_string()), instance}] > 1) ++repeated_;
    } else if (queue == messages::queues::consensus_results) {
      ++results_;
    } else if (queue == messages::queues::voting_requests && instance < options_.voters) {
      co_await vote(in, std::move(body), instance);
    }
  }
  co_return std::vector<quantumflow::outcome>(batch.size());
}

boost::asio::awaitable<void> simulated_fleet::vote(postgres::transaction& in, boost::json::object request,
                                                   int instance) {
  quantumflow::publication what;
  what.queue = messages::queues::votes_for_consensus;
  what.payload["type"] = "vote";
  what.payload["proposal_id"] = request.at("proposal_id");
  what.payload["instance_id"] = name_of(instance);
  what.payload["vote"] = "approve";
  what.payload["confidence"] = 0.95;
  what.payload["reason"] = "simulated";
  what.payload["timestamp"] = now_text();
  co_await quantumflow::publish(in, std::move(what));
}

/// Thousands of workers may stand in line for a connection before it.
boost::asio::awaitable<void> simulated_fleet::publish_patiently(quantumflow::publication what) {
  auto connection = co_await pool_.acquire(longest_queue);
  auto transaction = co_await postgres::transaction::begin(*connection);
  co_await quantumflow::publish(transaction, std::move(what));
  co_await transaction.commit();
}

bool simulated_fleet::run_until(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  return test::run_until(io_, condition, limit);
}

void simulated_fleet::run_for(std::chrono::milliseconds duration) {
  io_.restart();
  io_.run_for(duration);
}

void simulated_fleet::publish(std::string queue, boost::json::object payload) {
  quantumflow::publication what;
  what.queue = std::move(queue);
  what.payload = std::move(payload);
  if (!what.payload.contains("timestamp")) what.payload["timestamp"] = now_text();
  test::run(io_, publish_patiently(std::move(what)), 2 * longest_queue);
}

}  // namespace fleet::bench
