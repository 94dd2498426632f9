#include "common/postgres/connect.hpp"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/async/blocking_pool.hpp"
#include "common/postgres/connect_machine.hpp"
#include "common/postgres/conninfo.hpp"

namespace fleet::postgres {

namespace asio = boost::asio;
using event_kind = connect_machine::event_kind;
using action_kind = connect_machine::action_kind;

namespace {

void ignore_notice(void*, const PGresult*) {}

std::shared_ptr<PGconn> start_attempt(const std::vector<std::pair<std::string, std::string>>& options) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : options) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  std::shared_ptr<PGconn> made(PQconnectStartParams(keywords.data(), values.data(), 0), PQfinish);
  // Without a receiver libpq prints notices to standard error.
  if (made) PQsetNoticeReceiver(made.get(), ignore_notice, nullptr);
  return made;
}

/// One attempt at connecting: the machine decides, this carries out. Every step of libpq runs on the blocking pool: it
/// looks names up, reads key files and hashes passwords. Only one thread at a time uses the connection: while a step
/// runs there, nothing here touches it, and a step that is given up at the deadline keeps the connection to itself.
class connect_driver {
 public:
  connect_driver(wire& on, const settings& how)
      : wire_(on),
        info_(how),
        machine_(info_.hosts()),
        pool_(async::blocking_pool::of_lookups(on.executor())),
        // However the hosts' times are spent, and with target_session_attrs=prefer-standby libpq goes round twice.
        latest_(steady::now() + info_.host_timeout() * static_cast<int>(2 * info_.hosts())) {}

  asio::awaitable<void> run() {
    auto next = machine_.begin();
    while (next.what != action_kind::finish) {
      if (next.what == action_kind::fail) throw failure();
      if (next.restart_clock) host_deadline_ = std::min(latest_, steady::now() + info_.host_timeout());
      connect_machine::event happened{event_kind::failed};
      if (next.what == action_kind::start) {
        happened = co_await start();
      } else if (next.what == action_kind::poll) {
        happened = co_await poll();
      } else {
        happened = co_await wait(next.what);
      }
      next = machine_.resume(happened);
    }
    wire_.assign_socket();
  }

  steady::time_point deadline() const { return host_deadline_; }
  const conninfo& info() const { return info_; }

 private:
  asio::awaitable<connect_machine::event> start() {
    wire_.reset(nullptr);
    auto work = [options = info_.options(machine_.skipped())] { return start_attempt(options); };
    const auto left = host_deadline_ - steady::now();
    auto made = co_await pool_.run_for(std::move(work), left);
    connect_machine::event happened{event_kind::began};
    if (!made) {
      happened.what = event_kind::timed_out;
    } else {
      if (!*made) throw std::bad_alloc();
      wire_.reset(std::move(*made));
      if (PQstatus(wire_.get()) == CONNECTION_BAD) happened.what = event_kind::failed;
    }
    co_return happened;
  }

  asio::awaitable<connect_machine::event> poll() {
    wire_.release_socket();
    auto work = [connection = wire_.shared()] { return PQconnectPoll(connection.get()); };
    const auto left = host_deadline_ - steady::now();
    const auto polled = co_await pool_.run_for(std::move(work), left);
    connect_machine::event happened{event_kind::failed};
    if (!polled) {
      wire_.reset(nullptr);
      happened.what = event_kind::timed_out;
      co_return happened;
    }
    if (*polled == PGRES_POLLING_OK) happened.what = event_kind::polled_ok;
    if (*polled == PGRES_POLLING_READING) happened.what = event_kind::polled_reading;
    if (*polled == PGRES_POLLING_WRITING) happened.what = event_kind::polled_writing;
    const char* host = PQhost(wire_.get());
    const char* port = PQport(wire_.get());
    if (host != nullptr && port != nullptr) happened.host = info_.index_of(host, port, machine_.skipped());
    co_return happened;
  }

  asio::awaitable<connect_machine::event> wait(action_kind what) {
    connect_machine::event happened{event_kind::ready};
    wire_.assign_socket();
    if (PQsocket(wire_.get()) < 0) co_return happened;
    wire_.arm(host_deadline_);
    auto end = wire::wait_end::ready;
    if (what == action_kind::wait_read) {
      end = co_await wire_.wait_read();
    } else {
      end = co_await wire_.wait_write();
    }
    wire_.disarm();
    if (end == wire::wait_end::interrupted) throw boost::system::system_error(asio::error::operation_aborted);
    if (end == wire::wait_end::deadline) happened.what = event_kind::timed_out;
    co_return happened;
  }

  sql_error failure() {
    const std::string doing = "connecting to " + info_.names();
    if (!machine_.timed_out() && wire_.get() != nullptr) return connect_error(doing);
    sql_error_parts parts;
    parts.kind = sql_kind::timeout;
    parts.doing = doing;
    parts.message = fmt::format("no answer within {} ms{}", info_.host_timeout().count(),
                                info_.hosts() > 1 ? " from any host" : "");
    return sql_error(std::move(parts));
  }

  /// libpq 15 tells no SQLSTATE of a failed connection, so that what cannot be mended by trying again must be told by
  /// its words. The server may speak another language: then it counts as "try again", which is only slower to say so.
  sql_error connect_error(const std::string& doing) const {
    auto parts = error_of(wire_.get(), doing).parts();
    const auto says = [&](const char* words) { return parts.message.find(words) != std::string::npos; };
    if (info_.hosts() > 1) return sql_error(parts);
    if (says("authentication failed") || says("no password supplied") || says("no pg_hba.conf entry") ||
        says("permission denied for database") || says("is not permitted to log in") ||
        (says("role \"") && says("does not exist"))) {
      parts.kind = sql_kind::permission;
    } else if (says("database \"") && says("does not exist")) {
      parts.kind = sql_kind::undefined;
    }
    return sql_error(parts);
  }

  wire& wire_;
  conninfo info_;
  connect_machine machine_;
  async::blocking_pool& pool_;
  steady::time_point latest_;
  steady::time_point host_deadline_{};
};

/// After connecting, not as startup options: PgBouncer refuses options it does not know. It gives clients keys of its
/// own, so that a backend with another pid than the one announced means a pooler; then no row comes back, and nothing
/// is left in a session that is somebody else's a moment later (time zone and date style it keeps for each client).
/// With the keepalives the server, too, finds out within half a minute that we are gone without a word: until then it
/// keeps our locks.
std::string session_setup(const settings& how, int announced_pid) {
  return fmt::format(
      "set timezone = 'UTC'; set datestyle = 'ISO, YMD'; "
      "select set_config('statement_timeout', '{}', false), "
      "set_config('idle_in_transaction_session_timeout', '{}', false), set_config('extra_float_digits', '1', false), "
      "set_config('default_transaction_isolation', 'read committed', false), "
      "set_config('tcp_keepalives_idle', '15', false), set_config('tcp_keepalives_interval', '5', false), "
      "set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '20000', false) where "
      "pg_backend_pid() = {}",
      how.statement_timeout.count(), how.idle_in_transaction_timeout.count(), announced_pid);
}

}  // namespace

asio::awaitable<bool> connect(wire& on, settings how) {
  connect_driver driver(on, how);
  co_await driver.run();
  const std::string doing = "setting up the session with " + driver.info().names();
  on.arm(std::max(driver.deadline(), steady::now() + std::chrono::seconds(1)));
  PQsetnonblocking(on.get(), 1);
  const std::string setup = session_setup(how, PQbackendPID(on.get()));
  if (PQsendQuery(on.get(), setup.c_str()) == 0) throw error_of(on.get(), doing);
  const auto done = co_await on.collect(doing);
  on.disarm();
  if (PQresultStatus(done.get()) == PGRES_FATAL_ERROR) throw error_of(done.get(), doing);
  const bool pooled = PQntuples(done.get()) == 0;
  co_return pooled;
}

}  // namespace fleet::postgres
