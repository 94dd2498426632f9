#include "common/async/blocking_pool.hpp"

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>

#include "common/base/error.hpp"

namespace fleet::async {

namespace asio = boost::asio;

namespace {

/// Services are shut down in the reverse order of their making, before the context's own queue goes: a call that ends
/// while the pool is joined here can still be handed back to it.
class pool_service : public asio::execution_context::service {
 public:
  using key_type = pool_service;
  static asio::execution_context::id id;

  explicit pool_service(asio::execution_context& context)
      : asio::execution_context::service(context), pool_(std::make_unique<blocking_pool>(4)) {}
  void shutdown() override {
    pool_->drop_waiting();
    pool_.reset();
  }
  blocking_pool& get() { return *pool_; }

 private:
  std::unique_ptr<blocking_pool> pool_;
};

asio::execution_context::id pool_service::id;

}  // namespace

blocking_pool::blocking_pool(std::size_t threads, std::size_t max_unfinished)
    : max_unfinished_(max_unfinished), unfinished_(std::make_shared<std::atomic<std::size_t>>(0)), threads_(threads) {}

blocking_pool::~blocking_pool() {
  threads_.join();
}

blocking_pool& blocking_pool::of(const asio::any_io_executor& executor) {
  auto& context = asio::query(executor, asio::execution::context);
  return asio::use_service<pool_service>(context).get();
}

void blocking_pool::take_place() {
  if (unfinished_->fetch_add(1) < max_unfinished_) return;
  unfinished_->fetch_sub(1);
  throw base::failure(base::make_error(base::error_kind::unavailable, "too many blocking calls are unfinished"));
}

}  // namespace fleet::async
