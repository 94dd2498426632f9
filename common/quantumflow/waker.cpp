#include "common/quantumflow/waker.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/async/event.hpp"
#include "common/postgres/error.hpp"
#include "common/postgres/listener.hpp"

namespace fleet::quantumflow {

namespace {

using std::chrono::milliseconds;

/// While publishers are under way the flag cannot be raised: look again this soon, doubling up to the second.
constexpr milliseconds shortest_look{5};
constexpr milliseconds longest_look{50};

}  // namespace

struct waker::state {
  /// The sleepers of one group on one queue.
  struct gate {
    std::string queue;
    std::string group;
    async::event wake;
    std::size_t sleepers = 0;
    enum class flag_state { lowered, raised, covered, busy } flag = flag_state::lowered;  ///< as lie_down answered
    std::uint64_t listens_on = 0;       ///< the session (see `session`) that LISTENs to the gate's channels
    milliseconds look = shortest_look;  ///< after a failed raise
  };

  state(boost::asio::any_io_executor on, postgres::settings settings, std::function<void(bool)> on_state)
      : executor(on),
        tell(std::move(on_state)),
        listener(
            std::move(on), std::move(settings), {},
            [this](const std::string& channel, const std::string&) { notify(channel); },
            [this](bool up) { session_changed(up); }) {}

  void session_changed(bool up) {
    if (up) ++session;
    channels.clear();
    for (auto& [key, each] : gates) {
      each.flag = gate::flag_state::lowered;
      // Nobody may sleep on a flag that is gone, or on a notification sent while nobody listened.
      each.wake.notify_all();
    }
    if (tell) tell(up);
  }

  void notify(const std::string& channel) {
    const auto [first, last] = channels.equal_range(channel);
    for (auto it = first; it != last; ++it) it->second->wake.notify();
  }

  gate& find_gate(const std::string& queue, const std::string& group) {
    auto& found = gates[{queue, group}];
    found.queue = queue;
    found.group = group;
    return found;
  }

  static gate::flag_state flag_of(const std::string& text) {
    if (text == "raised") return gate::flag_state::raised;
    return text == "covered" ? gate::flag_state::covered : gate::flag_state::busy;
  }

  boost::asio::awaitable<void> listen(gate& at);
  boost::asio::awaitable<std::optional<milliseconds>> lie_down(gate& at);
  void get_up(gate& at);

  boost::asio::any_io_executor executor;
  std::function<void(bool)> tell;
  std::map<std::pair<std::string, std::string>, gate> gates;  // never erased: their addresses are kept
  std::multimap<std::string, gate*> channels;
  std::uint64_t session = 0;
  postgres::listener listener;
};

/// LISTENs to the channels of the gate's streams, once a session.
boost::asio::awaitable<void> waker::state::listen(gate& at) {
  if (at.listens_on == session) co_return;
  const auto current = session;
  auto arguments = postgres::make_params(at.queue, at.group);
  const auto rows =
      co_await listener.execute("select channel from quantumflow.wake_channels($1, $2) channel", std::move(arguments));
  for (const auto& row : rows) {
    const auto channel = row.get<std::string>("channel");
    const auto statement = "listen " + postgres::quote_identifier(channel);
    co_await listener.execute(statement);
    const auto [first, last] = channels.equal_range(channel);
    const bool known = std::any_of(first, last, [&](const auto& entry) { return entry.second == &at; });
    if (!known) channels.emplace(channel, &at);
  }
  at.listens_on = current;
}

/// Raises the flag and looks once more. Returns how long the gate may sleep: zero when there is something to take,
/// nullopt when only a notification can bring it.
boost::asio::awaitable<std::optional<milliseconds>> waker::state::lie_down(gate& at) {
  co_await listen(at);
  const auto current = session;
  auto arguments = postgres::make_params(at.queue, at.group);
  std::optional<std::int64_t> work_ms;
  if (at.flag == gate::flag_state::raised) {
    const auto rows =
        co_await listener.execute("select quantumflow.next_work_ms($1, $2) as work_ms", std::move(arguments));
    work_ms = rows.front().get<std::optional<std::int64_t>>("work_ms");
  } else {
    // Set while the statement is under way, so that a second sleeper does not take the lock a second time.
    at.flag = gate::flag_state::raised;
    const auto rows = co_await listener.execute("select * from quantumflow.lie_down($1, $2)", std::move(arguments));
    const auto flag = rows.front().get<std::string>("flag");
    if (current == session) at.flag = flag_of(flag);
    work_ms = rows.front().get<std::optional<std::int64_t>>("work_ms");
  }
  std::optional<milliseconds> sleep;
  if (work_ms) sleep = milliseconds(*work_ms);
  if (at.flag == gate::flag_state::busy) {
    sleep = std::min(at.look, sleep.value_or(longest_look));
    at.look = std::min(at.look * 2, longest_look);
  } else {
    at.look = shortest_look;
  }
  co_return sleep;
}

/// Lowers the flag without keeping the one who woke up waiting: statements of the session run in turn, so a later
/// lie_down comes after it.
void waker::state::get_up(gate& at) {
  at.flag = gate::flag_state::lowered;
  const auto lower = [](state& self, std::string queue, std::string group) -> boost::asio::awaitable<void> {
    auto arguments = postgres::make_params(queue, group);
    co_await self.listener.execute("select quantumflow.get_up($1, $2)", std::move(arguments));
  };
  // Where the session is gone, so is the lock.
  const auto ended = [](std::exception_ptr) {};
  boost::asio::co_spawn(executor, lower(*this, at.queue, at.group), ended);
}

waker::waker(boost::asio::any_io_executor executor, postgres::settings settings, std::function<void(bool)> on_state)
    : state_(std::make_unique<state>(std::move(executor), std::move(settings), std::move(on_state))) {}

waker::~waker() = default;

bool waker::listening() const {
  return state_->listener.up();
}

boost::asio::awaitable<postgres::rows> waker::execute(std::string sql, postgres::params values) {
  co_return co_await state_->listener.execute(std::move(sql), std::move(values));
}

boost::asio::awaitable<void> waker::run(async::stop_token stop) {
  co_await state_->listener.run(stop);
}

boost::asio::awaitable<void> waker::sleep(std::string queue, std::string group, milliseconds limit,
                                          async::stop_token stop) {
  auto& gate = state_->find_gate(queue, group);
  ++gate.sleepers;
  std::optional<milliseconds> until_work;
  bool flag_failed = false;
  try {
    if (listening()) until_work = co_await state_->lie_down(gate);
  } catch (const base::failure&) {
    // The listening session went away under it: poll until it is back.
    gate.flag = state::gate::flag_state::lowered;
    flag_failed = true;
  }
  const auto wait = flag_failed ? longest_look : std::min(limit, until_work.value_or(limit));
  if (wait.count() > 0) co_await gate.wake.wait_for(wait, stop);
  --gate.sleepers;
  if (gate.sleepers == 0 && gate.flag == state::gate::flag_state::raised && listening()) state_->get_up(gate);
}

}  // namespace fleet::quantumflow
