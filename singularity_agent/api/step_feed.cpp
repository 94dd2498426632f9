#include "singularity_agent/api/step_feed.hpp"

#include <utility>

#include "common/base/json.hpp"
#include "singularity_agent/database.hpp"

namespace fleet::agent::api {
namespace {

/// Steps that another process of this instance took come with this delay.
constexpr std::chrono::seconds look_again{2};

}  // namespace

step_feed::step_feed(postgres::pool& connections, const proposals::proposal_repository& repository,
                     http::event_hub& hub, wake_ups& wake)
    : connections_(connections), repository_(repository), hub_(hub), wake_(wake) {}

boost::asio::awaitable<std::shared_ptr<http::event_stream>> step_feed::subscribe() {
  if (hub_.subscribers() == 0) since_.reset();
  auto stream = hub_.subscribe();
  // Before the answer: what its reader does next is a step that it must see.
  if (stream && !since_) {
    auto connection = co_await connections_.acquire(connection_wait);
    const std::optional<std::string> from_now;
    auto page = co_await repository_.steps_since(*connection, from_now);
    if (!since_) since_ = std::move(page.next_since);
  }
  co_return stream;
}

boost::asio::awaitable<void> step_feed::run(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    if (hub_.subscribers() == 0) {
      since_.reset();
    } else if (since_) {
      auto connection = co_await connections_.acquire(connection_wait);
      auto page = co_await repository_.steps_since(*connection, since_);
      since_ = std::move(page.next_since);
      for (const auto& step : page.steps) hub_.publish("step", base::write_json(step));
    }
    co_await wake_.steps.wait_for(look_again, stop);
  }
}

}  // namespace fleet::agent::api
