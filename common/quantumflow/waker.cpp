#include "common/quantumflow/waker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/async/backoff.hpp"
#include "common/async/event.hpp"
#include "common/postgres/error.hpp"
#include "common/postgres/listener.hpp"
#include "common/postgres/pool.hpp"

namespace fleet::quantumflow {

namespace {

using std::chrono::milliseconds;

/// While a publisher holds its transaction open the flag cannot be raised: look again this soon, doubling up to the
/// second.
constexpr milliseconds shortest_look{5};
constexpr milliseconds longest_look{50};

/// A notification wakes every listening session of its database, whatever its channel. So all wakers prove themselves
/// by the same ones: who has heard none for the interval (up to twice that, so that it is one of many) sends the next.
constexpr const char* proof_channel = "quantumflow_proof";
/// One at a time, and each takes half a second: who does not get the lock hears the other's. So a server that is too
/// busy to deliver in time, and whose sessions therefore all think themselves deaf, is not asked ever more often.
constexpr const char* send_proof =
    "select pg_notify('quantumflow_proof', '') from (select pg_try_advisory_xact_lock(1902676, 0) as mine offset 0) l, "
    "lateral (select pg_sleep(0.5) where mine) waited";
constexpr milliseconds proof_interval{30'000};
constexpr milliseconds first_proof{1'000};  ///< after connecting, up to this: of many at once, one is enough
const async::backoff_policy proof_while_deaf{std::chrono::seconds(5), std::chrono::seconds(60), 2.0, 0.2};
/// A notification takes a millisecond; a busy server some hundreds.
constexpr milliseconds proof_timeout{5'000};
/// The longest sleep while notifications do not come although they should.
constexpr milliseconds deaf_poll{1'000};
constexpr milliseconds poll_interval{2'000};
constexpr std::size_t gates_a_statement = 20;
/// A worker looks by itself that much more rarely while somebody else does it for all.
constexpr int rarer_while_polled = 30;

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
    if (up) {
      ++session;
      deaf = false;
      prove_now.notify();
    }
    channels.clear();
    for (auto& [key, each] : gates) {
      each.flag = gate::flag_state::lowered;
      // Nobody may sleep on a flag that is gone, or on a notification sent while nobody listened.
      each.wake.notify_all();
    }
    if (tell) tell(up);
  }

  void notify(const std::string& channel) {
    if (channel == proof_channel) {
      ++proofs_heard;
      proof.notify();
      prove_now.notify();
    }
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

  bool listening() const { return listener.up() && !deaf; }

  void set_deaf(bool is) {
    if (deaf == is) return;
    deaf = is;
    if (tell) tell(!is);
  }

  boost::asio::awaitable<bool> proves(postgres::pool& sender, async::stop_token stop);
  std::vector<gate*> sleeping_gates();
  boost::asio::awaitable<void> look(postgres::connection& on, std::vector<gate*> at);
  boost::asio::awaitable<void> look_at_all(postgres::pool& through);
  boost::asio::awaitable<void> keep_looking(postgres::pool& through, async::stop_token stop,
                                            std::function<void()> turned);
  void polls(bool works);
  boost::asio::awaitable<void> listen(gate& at);
  boost::asio::awaitable<std::optional<milliseconds>> lie_down(gate& at);
  boost::asio::awaitable<bool> sleep_at(gate& at, milliseconds limit, async::stop_token stop);
  void get_up(gate& at);

  boost::asio::any_io_executor executor;
  std::function<void(bool)> tell;
  std::map<std::pair<std::string, std::string>, gate> gates;  // never erased: their addresses are kept
  std::multimap<std::string, gate*> channels;
  std::uint64_t session = 0;
  async::event proof;  ///< one came
  std::uint64_t proofs_heard = 0;
  async::event prove_now;  ///< the same, or a new session: look at what stands
  bool deaf = false;       ///< connected, but a notification that was sent did not come
  bool polled = false;
  postgres::listener listener;
};

/// Whether a notification comes through, from another session as all others do: somebody's, or else one's own.
boost::asio::awaitable<bool> waker::state::proves(postgres::pool& sender, async::stop_token stop) {
  proof.reset();
  const auto listen = std::string("listen ") + proof_channel;
  co_await listener.execute(listen);
  const auto others = std::chrono::duration_cast<milliseconds>(first_proof * async::random01());
  const bool heard = co_await proof.wait_for(others, stop);
  if (heard || stop.soft_requested()) co_return true;
  {
    auto connection = co_await sender.acquire();
    co_await connection->query(send_proof);
  }
  const bool came = co_await proof.wait_for(proof_timeout, stop);
  co_return came || stop.soft_requested();
}

std::vector<waker::state::gate*> waker::state::sleeping_gates() {
  std::vector<gate*> found;
  for (auto& [key, each] : gates)
    if (each.sleepers > 0) found.push_back(&each);
  return found;
}

/// Wakes those who sleep although there is something to take.
boost::asio::awaitable<void> waker::state::look(postgres::connection& on, std::vector<gate*> at) {
  std::string sql = "select place from (values ";
  postgres::params arguments;
  for (std::size_t i = 0; i < at.size(); ++i) {
    sql += fmt::format("{}({}, quantumflow.next_work_ms(${}, ${}))", i == 0 ? "" : ", ", i, 2 * i + 1, 2 * i + 2);
    arguments.add(at[i]->queue).add(at[i]->group);
  }
  sql += ") looked (place, work_ms) where work_ms = 0";
  const auto answer = co_await on.query(std::move(sql), std::move(arguments));
  for (const auto& row : answer) at[static_cast<std::size_t>(row.get<int>("place"))]->wake.notify_all();
}

boost::asio::awaitable<void> waker::state::look_at_all(postgres::pool& through) {
  const auto all = sleeping_gates();
  if (all.empty()) co_return;
  const auto connection = co_await through.acquire();
  for (std::size_t first = 0; first < all.size(); first += gates_a_statement) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    const auto size = std::min(gates_a_statement, all.size() - first);
    std::vector<gate*> piece(begin, begin + static_cast<std::ptrdiff_t>(size));
    co_await look(*connection, std::move(piece));
  }
}

/// Those who lay down in the belief that somebody looks for them must not go on sleeping when nobody does.
void waker::state::polls(bool works) {
  if (polled && !works)
    for (auto& [key, each] : gates) each.wake.notify_all();
  polled = works;
}

boost::asio::awaitable<void> waker::state::keep_looking(postgres::pool& through, async::stop_token stop,
                                                        std::function<void()> turned) {
  bool going_on = true;
  while (going_on) {
    if (turned) turned();
    bool works = false;
    try {
      co_await look_at_all(through);
      works = true;
    } catch (const base::failure&) {
      // The workers find out what is the matter, and say so.
    }
    polls(works);
    const double spread = 0.75 + 0.5 * async::random01();
    const auto pause = std::chrono::duration_cast<milliseconds>((deaf ? deaf_poll : poll_interval) * spread);
    going_on = co_await stop.sleep_for(pause);
  }
}

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
    // Once only: where one holds its transaction open, the session has other gates to serve.
    arguments.add(at.look == shortest_look);
    try {
      const auto rows =
          co_await listener.execute("select * from quantumflow.lie_down($1, $2, $3)", std::move(arguments));
      if (current == session) at.flag = flag_of(rows.front().get<std::string>("flag"));
      work_ms = rows.front().get<std::optional<std::int64_t>>("work_ms");
    } catch (const base::failure&) {
      if (current == session) at.flag = gate::flag_state::lowered;  // as it is in the database then
      throw;
    }
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

boost::asio::awaitable<bool> waker::state::sleep_at(gate& at, milliseconds limit, async::stop_token stop) {
  std::optional<milliseconds> until_work;
  bool flag_failed = false;
  try {
    if (listening()) until_work = co_await lie_down(at);
  } catch (const base::failure&) {
    // The listening session went away under it: poll until it is back. Or the look failed: a flag that another sleeper
    // of the gate has raised still stands, and is lowered with the last of them.
    flag_failed = true;
  }
  if (deaf) limit = std::min(limit, deaf_poll);
  const auto longest = polled ? limit * rarer_while_polled : limit;
  const auto wait = flag_failed ? longest_look : std::min(longest, until_work.value_or(longest));
  if (wait.count() > 0) co_await at.wake.wait_for(wait, stop);
  co_return until_work == milliseconds(0);
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
  return state_->listening();
}

const std::string& waker::last_error() const {
  return state_->listener.last_error();
}

boost::asio::awaitable<postgres::rows> waker::execute(std::string sql, postgres::params values) {
  co_return co_await state_->listener.execute(std::move(sql), std::move(values));
}

boost::asio::awaitable<void> waker::run(async::stop_token stop) {
  co_await state_->listener.run(stop);
}

boost::asio::awaitable<void> waker::keep_proving(postgres::pool& sender, async::stop_token stop) {
  auto& of = *state_;
  async::backoff while_deaf(proof_while_deaf);
  while (!stop.soft_requested()) {
    const auto asked_of = of.session;
    try {
      if (of.listener.up()) {
        const bool came = co_await of.proves(sender, stop);
        if (asked_of == of.session && of.listener.up()) of.set_deaf(!came);
      }
    } catch (const base::failure&) {
      // Nothing could be asked, because the database is away: what stands, stands.
    }
    if (!of.deaf) while_deaf.reset();
    auto heard = of.proofs_heard;
    of.prove_now.reset();
    while (asked_of == of.session && !stop.soft_requested()) {
      const auto spread = std::chrono::duration_cast<milliseconds>(proof_interval * async::random01());
      const auto until_next = of.deaf ? while_deaf.next(async::random01()) : proof_interval + spread;
      co_await of.prove_now.wait_for(until_next, stop);
      if (of.proofs_heard == heard) break;
      heard = of.proofs_heard;
      if (asked_of == of.session) of.set_deaf(false);
    }
  }
}

boost::asio::awaitable<void> waker::poll(postgres::pool& through, async::stop_token stop,
                                         std::function<void()> turned) {
  std::exception_ptr cancelled;
  try {
    co_await state_->keep_looking(through, std::move(stop), std::move(turned));
  } catch (...) {
    cancelled = std::current_exception();
  }
  state_->polls(false);
  if (cancelled) std::rethrow_exception(cancelled);
}

boost::asio::awaitable<bool> waker::sleep(std::string queue, std::string group, milliseconds limit,
                                          async::stop_token stop) {
  auto& gate = state_->find_gate(queue, group);
  ++gate.sleepers;
  bool found = false;
  // A cancelled sleeper is none any more. No guard object: one in a frame that goes with its loop, after the waker,
  // would write to what is gone.
  std::exception_ptr cancelled;
  try {
    found = co_await state_->sleep_at(gate, limit, stop);
  } catch (...) {
    cancelled = std::current_exception();
  }
  --gate.sleepers;
  if (gate.sleepers == 0 && gate.flag == state::gate::flag_state::raised && listening()) state_->get_up(gate);
  if (cancelled) std::rethrow_exception(cancelled);
  co_return found;
}

}  // namespace fleet::quantumflow
