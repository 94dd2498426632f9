#include "centralcloud_daemon/timers.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "centralcloud_daemon/timed_repository.hpp"
#include "common/base/exception_text.hpp"
#include "common/postgres/operating_failure.hpp"
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
/// What failed is tried again after that: what made it fail may be mended.
constexpr milliseconds skipped_for{10'000};
/// When so many of a kind fail, it is not they who are at fault.
constexpr std::size_t max_skipped = 100;

/// In the order of `kind`.
constexpr std::array<std::string_view, 5> names = {"open", "decide", "confirm", "silence", "tell"};

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
  const bool opened = co_await one(connection, kind::open);
  const bool decided = co_await one(connection, kind::decide);
  const bool confirmed = co_await one(connection, kind::confirm);
  const bool told_of_profiles = co_await one(connection, kind::tell);
  note_answer();
  bool told = false;
  if (*last_answer_ - there_since_ >= settings_.silence()) told = co_await one(connection, kind::silence);
  co_return opened || decided || confirmed || told_of_profiles || told;
}

awaitable<bool> timers::one(postgres::connection& connection, kind what) {
  auto piece = piece_of(what);
  if (!piece) co_return false;
  bool worked = false;
  std::exception_ptr failure;
  try {
    const auto work = [&](postgres::transaction& open) { return begin(open, what, *piece); };
    worked = co_await postgres::in_transaction(connection, work);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return worked;
  const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
  const bool cancelled = cancellation.cancelled() != boost::asio::cancellation_type::none;
  if (cancelled || postgres::is_operating_failure(failure)) std::rethrow_exception(failure);
  note_failure(what, *piece, failure);
  co_return true;  // the next one may well go through
}

awaitable<bool> timers::begin(postgres::transaction& open, kind what, timed_piece& piece) {
  switch (what) {
    case kind::open:
      return votes_.open_due(open, piece);
    case kind::decide:
      return votes_.decide_due(open, piece);
    case kind::confirm:
      return changes_.confirm_due(open, piece);
    case kind::tell:
      return changes_.tell_profiles(open);
    case kind::silence:
      break;
  }
  return changes_.report_silence(open, piece);
}

std::optional<timed_piece> timers::piece_of(kind what) {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(failed_, [now](const failed_piece& each) { return each.until <= now; });
  timed_piece piece;
  for (const auto& each : failed_) {
    if (each.what != what) continue;
    if (each.proposal.empty()) return std::nullopt;
    piece.skipped.push_back(each.proposal);
  }
  if (piece.skipped.size() >= max_skipped) return std::nullopt;
  return piece;
}

void timers::note_failure(kind what, const timed_piece& piece, const std::exception_ptr& failure) {
  const std::string name(names.at(static_cast<std::size_t>(what)));
  failed_piece failed{what, "", std::chrono::steady_clock::now() + skipped_for};
  if (piece.in_hand) failed.proposal = piece.in_hand->str();
  metrics_.counter_of("centralcloud_timed_work_failures_total", {{"work", name}}).increment();
  log_.error("timed_work_failed", "something that was due failed; it is passed over for a while",
             {{"work", name}, {"proposal_id", failed.proposal}, {"error", base::text_of(failure)}});
  failed_.push_back(std::move(failed));
}

}  // namespace fleet::central
