#include "centralcloud_daemon/api/live_feed.hpp"

#include <algorithm>
#include <boost/json/object.hpp>

#include "centralcloud_daemon/overview_repository.hpp"
#include "common/base/error.hpp"
#include "common/base/json.hpp"
#include "common/base/text.hpp"

namespace fleet::central::api {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds shortest_pause{1};
constexpr std::chrono::seconds longest_pause{10};
/// Looking costs the database a 20th of one connection at most, however slow it is.
constexpr int rest_for_work = 19;
constexpr std::chrono::seconds connection_wait{3};
/// Of one look. Older ones are left out: a page that sees a step reads the state anyway.
constexpr std::int64_t max_steps = 200;

}  // namespace

boost::asio::awaitable<void> live_feed::tell() {
  auto lease = co_await pool_.acquire(connection_wait);
  const auto overview = co_await read_overview(*lease, instances_.heartbeat_timeout, instances_.instance_forgotten);
  hub_.publish("overview", overview);
  const bool follows = since_.has_value();
  const std::int64_t wanted = follows ? max_steps : 0;
  auto page = co_await steps_since(*lease, since_, wanted);
  since_ = std::move(page.next_since);
  if (follows && page.steps != "[]") hub_.publish("steps", page.steps);
}

boost::asio::awaitable<void> live_feed::run(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    const auto begin = steady_clock::now();
    std::string trouble;
    if (hub_.subscribers() == 0) {
      since_.reset();
    } else {
      try {
        co_await tell();
      } catch (const base::failure& failed) {
        trouble = base::mask_secrets(failed.what());
      }
    }
    if (!trouble.empty()) {
      boost::json::object told;
      told["detail"] = trouble;
      hub_.publish("trouble", base::write_json(told));
    }
    const auto rest = (steady_clock::now() - begin) * rest_for_work;
    co_await stop.sleep_for(std::clamp<steady_clock::duration>(rest, shortest_pause, longest_pause));
  }
}

}  // namespace fleet::central::api
