#include "centralcloud_daemon/timers.hpp"

#include <algorithm>

#include "centralcloud_daemon/timed_repository.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::central {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;

constexpr milliseconds longest_sleep{1'000};
constexpr milliseconds shortest_sleep{5};
/// Something is due and could not be done: another coordinator has it in hand, or what was said in time still waits in
/// its queue, or a vote waits for voters.
constexpr milliseconds blocked_sleep{100};
/// After so many pieces of work the connection goes back and stop is looked at, even if more is due.
constexpr int max_pieces = 500;
/// Between two answers of the database; more, and it was away, or this process was.
constexpr milliseconds longest_gap{5'000};

}  // namespace

awaitable<void> timers::run(async::stop_token stop, std::function<void()> turned) {
  last_answer_.reset();  // the run before may have ended because the database went away
  while (!stop.soft_requested()) {
    if (turned) turned();
    auto lease = co_await pool_.acquire();
    const auto sleep = co_await pass(*lease, stop);
    lease.release();
    if (sleep > milliseconds::zero()) co_await woken_.wait_for(sleep, stop);
  }
}

awaitable<milliseconds> timers::pass(postgres::connection& connection, async::stop_token stop) {
  const auto due = co_await next_due(connection, settings_.silence());
  note_answer();
  if (!due) co_return longest_sleep;
  if (*due > milliseconds::zero()) co_return std::clamp(*due, shortest_sleep, longest_sleep);
  int done = 0;
  while (done < max_pieces && !stop.soft_requested()) {
    const bool worked = co_await work_once(connection);
    if (!worked) break;
    ++done;
  }
  if (done == 0) co_return blocked_sleep;
  co_return milliseconds::zero();
}

void timers::note_answer() {
  const auto now = std::chrono::steady_clock::now();
  if (!last_answer_ || now - *last_answer_ > longest_gap) there_since_ = now;
  last_answer_ = now;
}

awaitable<bool> timers::work_once(postgres::connection& connection) {
  const auto open_it = [this](postgres::transaction& open) { return votes_.open_due(open); };
  const bool opened = co_await postgres::in_transaction(connection, open_it);
  const auto decide = [this](postgres::transaction& open) { return votes_.decide_due(open); };
  const bool decided = co_await postgres::in_transaction(connection, decide);
  const auto confirm = [this](postgres::transaction& open) { return changes_.confirm_due(open); };
  const bool confirmed = co_await postgres::in_transaction(connection, confirm);
  note_answer();
  bool told = false;
  if (*last_answer_ - there_since_ >= settings_.silence()) {
    const auto silence = [this](postgres::transaction& open) { return changes_.report_silence(open); };
    told = co_await postgres::in_transaction(connection, silence);
  }
  co_return opened || decided || confirmed || told;
}

}  // namespace fleet::central
