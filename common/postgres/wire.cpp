#include "common/postgres/wire.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <variant>

namespace fleet::postgres {

namespace asio = boost::asio;

namespace {
constexpr std::size_t max_kept_notifications = 10'000;
}

/// What the timer's handler looks at. The handler may already be on its way when the deadline is taken back or the wire
/// is gone: so it holds this, and acts only if its own arming is still the current one.
struct wire::watch {
  asio::posix::stream_descriptor* socket = nullptr;
  std::uint64_t armed = 0;
  bool passed = false;
};

wire::wire(asio::any_io_executor executor)
    : executor_(std::move(executor)), socket_(executor_), timer_(executor_), watch_(std::make_shared<watch>()) {
  watch_->socket = &socket_;
}

wire::~wire() {
  watch_->socket = nullptr;
  release_socket();
}

void wire::reset(std::shared_ptr<PGconn> other) {
  release_socket();
  connection_ = std::move(other);
}

void wire::assign_socket() {
  release_socket();
  const int number = connection_ ? PQsocket(connection_.get()) : -1;
  if (number >= 0) socket_.assign(number);
}

void wire::release_socket() {
  if (socket_.is_open()) socket_.release();
}

void wire::arm(steady::time_point deadline) {
  deadline_ = deadline;
  watch_->passed = false;
  const auto mine = ++watch_->armed;
  timer_.expires_at(deadline);
  timer_.async_wait([shared = watch_, mine](const boost::system::error_code& failed) {
    if (failed || shared->armed != mine || shared->socket == nullptr) return;
    shared->passed = true;
    boost::system::error_code ignored;
    if (shared->socket->is_open()) shared->socket->cancel(ignored);
  });
}

void wire::disarm() {
  ++watch_->armed;
  watch_->passed = false;
  timer_.cancel();
}

wire::wait_end wire::end_of(const boost::system::error_code& failed) const {
  if (watch_->passed) return wait_end::deadline;
  return failed ? wait_end::interrupted : wait_end::ready;
}

asio::awaitable<wire::wait_end> wire::wait_read() {
  if (watch_->passed) co_return wait_end::deadline;
  const auto [failed] =
      co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
  co_return end_of(failed);
}

asio::awaitable<wire::wait_end> wire::wait_write() {
  if (watch_->passed) co_return wait_end::deadline;
  const auto [failed] =
      co_await socket_.async_wait(asio::posix::stream_descriptor::wait_write, asio::as_tuple(asio::use_awaitable));
  co_return end_of(failed);
}

asio::awaitable<wire::wait_end> wire::wait_read_or_write() {
  using asio::experimental::awaitable_operators::operator||;
  auto readable = wait_read();
  auto writable = wait_write();
  const auto first = co_await (std::move(readable) || std::move(writable));
  co_return first.index() == 0 ? std::get<0>(first) : std::get<1>(first);
}

void wire::interrupt() {
  boost::system::error_code ignored;
  if (socket_.is_open()) socket_.cancel(ignored);
}

bool wire::consume() {
  const bool alive = PQconsumeInput(connection_.get()) == 1;
  take_notifications();
  return alive && PQstatus(connection_.get()) == CONNECTION_OK;
}

void wire::take_notifications() {
  while (PGnotify* raw = PQnotifies(connection_.get())) {
    if (notifications.size() < max_kept_notifications) notifications.push_back({raw->relname, raw->extra, raw->be_pid});
    PQfreemem(raw);
  }
}

asio::awaitable<void> wire::flush(const std::string& doing) {
  while (true) {
    const int left = PQflush(connection_.get());
    if (left == 0) co_return;
    if (left < 0) throw error_of(connection_.get(), doing);
    // The server may have to send before it can take more: reading must go on while we write.
    const auto end = co_await wait_read_or_write();
    if (end == wait_end::deadline) throw deadline_error(doing);
    if (end == wait_end::interrupted) throw boost::system::system_error(asio::error::operation_aborted);
    if (!consume()) co_return;  // the results that are left tell why
  }
}

/// False: the connection is lost, and whatever is still to be had is there.
asio::awaitable<bool> wire::read_more(const std::string& doing) {
  const auto end = co_await wait_read();
  if (end == wait_end::deadline) throw deadline_error(doing);
  if (end == wait_end::interrupted) throw boost::system::system_error(asio::error::operation_aborted);
  co_return consume();
}

/// The next result, waited for; null after the last of a statement.
asio::awaitable<result_ptr> wire::next_result(const std::string& doing) {
  bool alive = PQstatus(connection_.get()) == CONNECTION_OK;
  while (alive && PQisBusy(connection_.get()) == 1) alive = co_await read_more(doing);
  // PQconsumeInput can fail on a connection that still counts as open (out of memory): PQgetResult might wait then.
  if (!alive && PQstatus(connection_.get()) == CONNECTION_OK) throw error_of(connection_.get(), doing);
  result_ptr next(PQgetResult(connection_.get()));
  take_notifications();
  co_return next;
}

asio::awaitable<result_ptr> wire::collect(std::string doing) {
  co_await flush(doing);
  result_ptr last;
  result_ptr error;
  // Statements of a pipeline end with a null each, and all of them with a sync; without one, the first null is the end.
  const bool pipelined = PQpipelineStatus(connection_.get()) != PQ_PIPELINE_OFF;
  while (true) {
    auto next = co_await next_result(doing);
    if (!next) {
      if (pipelined && PQstatus(connection_.get()) == CONNECTION_OK) continue;
      break;
    }
    const auto status = PQresultStatus(next.get());
    if (status == PGRES_PIPELINE_SYNC) break;
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
      sql_error_parts parts;
      parts.doing = doing;
      parts.message = "COPY is not supported";
      throw sql_error(std::move(parts));
    }
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_NONFATAL_ERROR) {
      // The first one is what went wrong; later ones only say that the connection is gone.
      if (!error) error = std::move(next);
    } else if (status != PGRES_PIPELINE_ABORTED) {
      last = std::move(next);
    }
  }
  if (error) co_return error;
  if (PQstatus(connection_.get()) != CONNECTION_OK) throw error_of(connection_.get(), doing);
  co_return last;
}

sql_error deadline_error(std::string doing) {
  sql_error_parts parts;
  parts.kind = sql_kind::timeout;
  parts.doing = std::move(doing);
  parts.message = "no answer in time; the connection is given up";
  return sql_error(std::move(parts));
}

}  // namespace fleet::postgres
