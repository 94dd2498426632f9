#include "singularity_agent/metrics/reporter.hpp"

#include <optional>

#include "singularity_agent/database.hpp"

namespace fleet::agent::metrics {
namespace {

constexpr int max_batch = 100;
constexpr std::chrono::seconds look_again{5};

struct refused_sample {
  std::int64_t sample = 0;
  base::error why;
};

base::result<messages::execution_metrics> message_of(boost::json::object sample, const base::instance_id& self) {
  sample["type"] = messages::execution_metrics::type_name;
  sample["instance_id"] = self.str();
  return messages::execution_metrics::decode(sample);
}

}  // namespace

reporter::reporter(postgres::pool& connections, producers& send, const sample_repository& samples, wake_ups& wake,
                   telemetry::logger log)
    : connections_(connections), send_(send), samples_(samples), wake_(wake), log_(std::move(log)) {}

boost::asio::awaitable<void> reporter::run(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    const auto reported = co_await report_batch();
    if (reported == 0) co_await wake_.samples.wait_for(look_again, stop);
  }
}

boost::asio::awaitable<std::size_t> reporter::report_batch() {
  std::vector<boost::json::object> batch;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    batch = co_await samples_.unreported(*connection, max_batch);
  }
  if (batch.empty()) co_return 0;
  std::optional<refused_sample> refused;
  const auto work = [&](postgres::transaction& in) -> boost::asio::awaitable<void> {
    for (const auto& sample : batch) {
      const auto id = sample.at("sample_id").to_number<std::int64_t>();
      auto message = message_of(sample, send_.self());
      if (!message) {
        refused = refused_sample{id, message.error()};
        throw base::failure(message.error());
      }
      const auto sent = co_await send_.report_metrics_to_guardian(in, std::move(*message));
      if (!sent) {
        refused = refused_sample{id, sent.error()};
        throw base::failure(sent.error());
      }
      const auto first = co_await samples_.mark_reported(in.on(), id, *sent);
      // Another process of this instance was faster: its message stands, this batch is taken again.
      if (!first) throw base::failure(base::make_error(base::error_kind::conflict, "reported meanwhile"));
    }
  };
  bool lost_race = false;
  try {
    co_await transact(connections_, work);
  } catch (const postgres::sql_error&) {
    throw;
  } catch (const base::failure& failed) {
    lost_race = !refused && failed.get().kind == base::error_kind::conflict;
    if (!refused && !lost_race) throw;
  }
  if (!refused) co_return batch.size();
  log_.warning("sample_refused", refused->why.message, {{"sample_id", refused->sample}});
  auto connection = co_await connections_.acquire(connection_wait);
  co_await samples_.mark_unreportable(*connection, refused->sample, refused->why.message);
  co_return 1;
}

}  // namespace fleet::agent::metrics
