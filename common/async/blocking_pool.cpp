#include "common/async/blocking_pool.hpp"

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::async {

namespace asio = boost::asio;

namespace {

/// What runs on when its context is gone. Never freed: nobody can wait for it.
std::vector<std::shared_ptr<void>>& left_behind() {
  static auto& all = *new std::vector<std::shared_ptr<void>>();
  return all;
}
std::mutex& left_behind_guard() {
  static auto& guard = *new std::mutex();
  return guard;
}

enum class at_the_end { join, leave };

/// Services are shut down in the reverse order of their making, before the context's own queue goes: a call that ends
/// while the pool is joined here can still be handed back to it.
template <at_the_end Way>
class pool_service : public asio::execution_context::service {
 public:
  using key_type = pool_service;
  static asio::execution_context::id id;

  explicit pool_service(asio::execution_context& context)
      : asio::execution_context::service(context), pool_(std::make_shared<blocking_pool>(4)) {}
  void shutdown() override {
    pool_->drop_waiting();
    if (Way == at_the_end::join || !pool_->close()) return pool_.reset();
    const std::lock_guard hold(left_behind_guard());
    left_behind().push_back(std::move(pool_));
  }
  blocking_pool& get() { return *pool_; }

 private:
  std::shared_ptr<blocking_pool> pool_;
};

template <at_the_end Way>
asio::execution_context::id pool_service<Way>::id;

template <at_the_end Way>
blocking_pool& pool_of(const asio::any_io_executor& executor) {
  return asio::use_service<pool_service<Way>>(asio::query(executor, asio::execution::context)).get();
}

}  // namespace

blocking_pool::blocking_pool(std::size_t threads, std::size_t max_unfinished)
    : max_unfinished_(max_unfinished), ledger_(std::make_shared<ledger>()), threads_(threads) {}

blocking_pool::~blocking_pool() {
  threads_.join();
}

blocking_pool& blocking_pool::of(const asio::any_io_executor& executor) {
  return pool_of<at_the_end::join>(executor);
}

blocking_pool& blocking_pool::of_lookups(const asio::any_io_executor& executor) {
  return pool_of<at_the_end::leave>(executor);
}

bool blocking_pool::close() {
  const std::lock_guard telling(ledger_->ending);
  ledger_->closed = true;
  return ledger_->unfinished > 0;
}

void blocking_pool::leave_behind(std::shared_ptr<void> what) {
  const std::lock_guard hold(left_behind_guard());
  left_behind().push_back(std::move(what));
}

void blocking_pool::take_place() {
  if (ledger_->unfinished.fetch_add(1) < max_unfinished_) return;
  ledger_->unfinished.fetch_sub(1);
  throw base::failure(base::make_error(base::error_kind::unavailable, "too many blocking calls are unfinished"));
}

}  // namespace fleet::async
