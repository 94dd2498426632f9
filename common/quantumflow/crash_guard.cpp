#include "common/quantumflow/crash_guard.hpp"

#include <random>

namespace fleet::quantumflow {

using boost::asio::awaitable;

namespace {

std::int64_t random_run() {
  std::random_device device;
  return (static_cast<std::int64_t>(device() & 0x7fffffffU) << 32U) | static_cast<std::int64_t>(device());
}

}  // namespace

crash_guard::crash_guard(postgres::pool& pool, std::string group, std::string slot)
    : pool_(pool), group_(std::move(group)), slot_(std::move(slot)), run_(random_run()) {}

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

awaitable<crash_guard::turn> crash_guard::next_turn(async::stop_token stop) {
  while (busy_ && !stop.soft_requested()) co_await free_.wait_for(std::chrono::seconds(1), stop);
  if (busy_) co_return turn(nullptr);
  busy_ = true;
  co_return turn(this);
}

awaitable<void> end_in_order(crash_guard& guard) {
  try {
    co_await guard.end();
  } catch (const base::failure&) {
  }
}

crash_guard::turn::~turn() {
  if (guard_ == nullptr) return;
  guard_->busy_ = false;
  guard_->free_.notify();
}

}  // namespace fleet::quantumflow
