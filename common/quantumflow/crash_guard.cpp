#include "common/quantumflow/crash_guard.hpp"

#include <list>
#include <random>

#include "common/async/event.hpp"

namespace fleet::quantumflow {

using boost::asio::awaitable;

namespace {

std::int64_t random_run() {
  std::random_device device;
  return (static_cast<std::int64_t>(device() & 0x7fffffffU) << 32U) | static_cast<std::int64_t>(device());
}

}  // namespace

struct crash_guard::line {
  struct place;
  bool taken = false;
  std::list<place*> waiting;

  void pass_on();
};

/// Lives in the frame of `next_turn`; whatever way that is left, a turn that was given to it is not lost.
struct crash_guard::line::place {
  explicit place(std::shared_ptr<line> of) : in(std::move(of)) { in->waiting.push_back(this); }
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() {
    in->waiting.remove(this);
    if (given) in->pass_on();
  }

  std::shared_ptr<line> in;
  async::event called;
  bool given = false;
};

/// Handed over, and not only let go of: who had it would have it again before the one who waits has woken up.
void crash_guard::line::pass_on() {
  taken = !waiting.empty();
  if (!taken) return;
  place* const first = waiting.front();
  waiting.pop_front();
  first->given = true;
  first->called.notify();
}

crash_guard::crash_guard(postgres::pool& pool, std::string group, std::string slot)
    : pool_(pool),
      group_(std::move(group)),
      slot_(std::move(slot)),
      run_(random_run()),
      line_(std::make_shared<line>()) {}

awaitable<bool> crash_guard::begin() {
  auto connection = co_await pool_.acquire();
  auto arguments = postgres::make_params(group_, slot_);
  const auto answer =
      co_await connection->query("select quantumflow.begin_consuming($1, $2) as crashed", std::move(arguments));
  begun_ = true;
  suspicious_ = answer.single().get<bool>("crashed");
  co_return suspicious_;
}

awaitable<void> crash_guard::end() {
  if (!begun_) co_return;
  auto connection = co_await pool_.acquire();
  auto arguments = postgres::make_params(group_, slot_);
  co_await connection->query("select quantumflow.end_consuming($1, $2)", std::move(arguments));
}

awaitable<crash_guard::turn> crash_guard::next_turn(async::stop_token stop, std::function<void()> waiting) {
  const auto in = line_;
  if (!std::exchange(in->taken, true)) co_return turn(in);
  line::place mine(in);
  while (!mine.given && !stop.soft_requested()) {
    if (waiting) waiting();
    co_await mine.called.wait_for(std::chrono::seconds(1), stop);
  }
  if (!std::exchange(mine.given, false)) co_return turn(nullptr);
  co_return turn(in);
}

awaitable<void> end_in_order(crash_guard& guard) {
  try {
    co_await guard.end();
  } catch (const base::failure&) {
  }
}

crash_guard::turn::~turn() {
  if (line_) line_->pass_on();
}

}  // namespace fleet::quantumflow
