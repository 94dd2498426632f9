#include "common/postgres/connection.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <cstdint>
#include <exception>
#include <map>
#include <utility>

#include "common/postgres/connect.hpp"
#include "common/postgres/wire.hpp"

namespace fleet::postgres {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

/// Statements are constants of the program; one that makes up its text each time must not fill the server's memory.
constexpr std::size_t max_prepared = 200;

constexpr auto begin_sql = "begin isolation level read committed";

bool is_error(const result_ptr& result) {
  return result && PQresultStatus(result.get()) == PGRES_FATAL_ERROR;
}

/// The statement's plan does not hold any more (a migration changed its result, or the session was reset).
bool plan_is_stale(const sql_error& error) {
  return error.sqlstate() == "26000" ||
         (error.sqlstate() == "0A000" && error.message().find("cached plan") != std::string::npos);
}

}  // namespace

struct connection::state {
  state(const asio::any_io_executor& executor, settings settings_of) : how(std::move(settings_of)), line(executor) {}

  asio::awaitable<result_ptr> simple(std::string sql, std::string doing);
  asio::awaitable<result_ptr> extended(const std::string& sql, const params& values, const std::string& doing);
  asio::awaitable<result_ptr> finish_sending(int sent, std::string doing);
  asio::awaitable<std::string> prepare(const std::string& sql, const std::string& doing);
  asio::awaitable<result_ptr> send_statement(const std::string& sql, const std::string& name,
                                             const std::vector<const char*>& values, const std::string& doing);
  asio::awaitable<void> send_pending_begin();
  asio::awaitable<void> set_statement_timeout(milliseconds limit);
  PGTransactionStatusType transaction_status() const { return PQtransactionStatus(line.get()); }
  void arm(milliseconds limit) { line.arm(steady::now() + std::min<milliseconds>(limit, async::longest_wait)); }
  void ended(const sql_error& error) {
    // A server that has become a standby, or read-only, is of no more use than one that is gone: the next connection
    // may lead to its successor.
    if (error.kind() == sql_kind::connection_lost || error.kind() == sql_kind::read_only) broken = true;
  }

  settings how;
  wire line;
  bool pooled = false;
  bool broken = false;
  bool busy = false;
  bool in_flight = false;                                    // sent, and not read to the end
  bool begin_pending = false;                                // to be sent with the next statement
  std::map<std::string, std::string, std::less<>> prepared;  // text → name
  unsigned next_name = 1;
};

namespace {

/// One user at a time; an answer that was not read to its end (deadline, cancellation) makes the connection useless.
template <class State>
class turn {
 public:
  explicit turn(State& of) : of_(of) {
    if (of_.busy) {
      throw base::failure(base::make_error(base::error_kind::internal, "a connection is used by two at once"));
    }
    if (of_.broken) {
      sql_error_parts parts;
      parts.kind = sql_kind::connection_lost;
      parts.message = "the connection was lost before";
      throw sql_error(std::move(parts));
    }
    of_.busy = true;
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() {
    of_.busy = false;
    of_.line.disarm();
    if (of_.in_flight || PQstatus(of_.line.get()) != CONNECTION_OK) of_.broken = true;
  }

 private:
  State& of_;
};

}  // namespace

connection::connection(std::unique_ptr<state> from) : state_(std::move(from)) {}
connection::~connection() = default;

asio::awaitable<std::unique_ptr<connection>> connection::open(settings how) {
  auto made = std::make_unique<state>(co_await asio::this_coro::executor, how);
  made->pooled = co_await connect(made->line, how);
  co_return std::unique_ptr<connection>(new connection(std::move(made)));
}

asio::awaitable<result_ptr> connection::state::finish_sending(int sent, std::string doing) {
  if (sent == 0) {
    auto parts = error_of(line.get(), doing).parts();
    // libpq refused the call itself (too many parameters): the connection is as good as before.
    if (PQstatus(line.get()) == CONNECTION_OK) parts.kind = sql_kind::other;
    throw sql_error(std::move(parts));
  }
  in_flight = true;
  auto result = co_await line.collect(doing);
  in_flight = false;
  if (is_error(result)) {
    auto error = error_of(result.get(), std::move(doing));
    ended(error);
    throw error;
  }
  co_return result;
}

asio::awaitable<result_ptr> connection::state::simple(std::string sql, std::string doing) {
  const int sent = PQsendQuery(line.get(), sql.c_str());
  co_return co_await finish_sending(sent, std::move(doing));
}

/// The name of the prepared statement; empty where the statement is to be sent as it is.
asio::awaitable<std::string> connection::state::prepare(const std::string& sql, const std::string& doing) {
  if (pooled || !how.prepare) co_return std::string();
  const auto known = prepared.find(sql);
  if (known != prepared.end()) co_return known->second;
  if (prepared.size() >= max_prepared) co_return std::string();
  co_await send_pending_begin();  // a statement that cannot be prepared fails its transaction like any other
  const std::string name = fmt::format("fleet_{}", next_name++);
  const int sent = PQsendPrepare(line.get(), name.c_str(), sql.c_str(), 0, nullptr);
  co_await finish_sending(sent, doing);
  prepared.emplace(sql, name);
  co_return name;
}

/// Sends the statement and reads its result; with a BEGIN that waits for it in the same round trip.
asio::awaitable<result_ptr> connection::state::send_statement(const std::string& sql, const std::string& name,
                                                              const std::vector<const char*>& values,
                                                              const std::string& doing) {
  PGconn* const on = line.get();
  const int count = static_cast<int>(values.size());
  const bool begins = begin_pending && PQenterPipelineMode(on) == 1;
  int sent = 1;
  if (begins) sent = PQsendQueryParams(on, begin_sql, 0, nullptr, nullptr, nullptr, nullptr, 0);
  if (sent == 1 && name.empty()) {
    sent = PQsendQueryParams(on, sql.c_str(), count, nullptr, values.data(), nullptr, nullptr, 0);
  } else if (sent == 1) {
    sent = PQsendQueryPrepared(on, name.c_str(), count, values.data(), nullptr, nullptr, 0);
  }
  if (!begins) co_return co_await finish_sending(sent, doing);
  begin_pending = false;
  // Half a pipeline cannot be taken back.
  if (sent == 0 || PQpipelineSync(on) == 0) {
    broken = true;
    throw error_of(on, doing);
  }
  std::exception_ptr failure;
  result_ptr result;
  try {
    result = co_await finish_sending(sent, doing);
  } catch (const sql_error&) {
    failure = std::current_exception();
  }
  if (PQexitPipelineMode(on) == 0) broken = true;
  if (failure) std::rethrow_exception(failure);
  co_return result;
}

asio::awaitable<result_ptr> connection::state::extended(const std::string& sql, const params& values,
                                                        const std::string& doing) {
  std::vector<const char*> pointers;
  for (const auto& value : values.values()) pointers.push_back(value ? value->c_str() : nullptr);
  for (bool again = false;; again = true) {
    const std::string name = co_await prepare(sql, doing);
    std::exception_ptr failure;
    try {
      co_return co_await send_statement(sql, name, pointers, doing);
    } catch (const sql_error& error) {
      if (name.empty() || !plan_is_stale(error)) throw;
      failure = std::current_exception();
    }
    prepared.erase(sql);
    if (again || transaction_status() != PQTRANS_IDLE) std::rethrow_exception(failure);
    co_await simple("deallocate all", doing);
    prepared.clear();
  }
}

/// For statements that do not take it along.
asio::awaitable<void> connection::state::send_pending_begin() {
  if (!begin_pending) co_return;
  begin_pending = false;
  co_await simple(begin_sql, "beginning a transaction");
}

asio::awaitable<void> connection::state::set_statement_timeout(milliseconds limit) {
  // Outside a transaction a pooler may run the next statement elsewhere: the client's own limit has to do.
  if (pooled && transaction_status() != PQTRANS_INTRANS) co_return;
  const std::string sql = fmt::format("set {}statement_timeout = {}", pooled ? "local " : "", limit.count());
  co_await simple(sql, "setting the statement timeout");
}

/// Runs a statement with its time limit, whatever way it is sent.
template <class State, class Send>
static asio::awaitable<result_ptr> run_limited(State& on, std::optional<milliseconds> timeout, Send send) {
  constexpr milliseconds longest{INT32_MAX};  // that the server knows
  if (timeout) timeout = std::min(*timeout, longest);
  const auto session_limit = on.how.statement_timeout;
  const bool longer = timeout && *timeout > session_limit;
  // 0 is the server's word for "none".
  if (timeout && !longer) {
    on.arm(*timeout);
  } else if (longer || session_limit.count() > 0) {
    on.arm(std::max(session_limit, timeout.value_or(session_limit)) + on.how.client_grace);
  }
  if (longer) {
    co_await on.send_pending_begin();  // what is set must end with the transaction
    co_await on.set_statement_timeout(*timeout);
  }
  std::exception_ptr failure;
  result_ptr result;
  try {
    result = co_await send();
  } catch (const sql_error&) {
    failure = std::current_exception();
  }
  // In a failed transaction nothing can be set, and its rollback takes the longer limit back.
  if (longer && !on.in_flight && !on.broken && on.transaction_status() != PQTRANS_INERROR) {
    co_await on.set_statement_timeout(session_limit);
  }
  if (failure) std::rethrow_exception(failure);
  co_return result;
}

asio::awaitable<rows> connection::query(std::string sql, params values, std::optional<milliseconds> timeout) {
  state& on = *state_;
  const turn<state> mine(on);
  const std::string doing = "running \"" + abbreviate_sql(sql) + "\"";
  auto send = [&on, &sql, &values, &doing] { return on.extended(sql, values, doing); };
  auto result = co_await run_limited(on, timeout, send);
  co_return rows(std::shared_ptr<const PGresult>(result.release(), PQclear));
}

asio::awaitable<void> connection::run_script(std::string sql, std::optional<milliseconds> timeout) {
  state& on = *state_;
  const turn<state> mine(on);
  const std::string doing = "running the script \"" + abbreviate_sql(sql) + "\"";
  auto send = [&on, &sql, &doing]() -> asio::awaitable<result_ptr> {
    co_await on.send_pending_begin();
    co_return co_await on.simple(sql, doing);
  };
  co_await run_limited(on, timeout, send);
}

void connection::begin_with_next() {
  state_->begin_pending = true;
}

bool connection::end_unbegun() {
  return std::exchange(state_->begin_pending, false);
}

bool connection::pooled() const {
  return state_->pooled;
}

bool connection::usable() const {
  return !state_->broken;
}

bool connection::check_alive() {
  // A server that ends a session says why first, and hangs up then: two reads.
  for (int i = 0; i < 16 && !state_->broken; ++i) {
    pollfd ask{PQsocket(state_->line.get()), POLLIN, 0};
    if (::poll(&ask, 1, 0) <= 0) break;
    if (!state_->line.consume()) state_->broken = true;
    if (!state_->broken) PQisBusy(state_->line.get());
  }
  return !state_->broken;
}

bool connection::in_transaction() const {
  const auto status = state_->transaction_status();
  return state_->begin_pending || status == PQTRANS_INTRANS || status == PQTRANS_INERROR || status == PQTRANS_ACTIVE;
}

void connection::mark_broken() {
  state_->broken = true;
}
int connection::backend_pid() const {
  return PQbackendPID(state_->line.get());
}
const settings& connection::options() const {
  return state_->how;
}

std::string connection::server() const {
  return fmt::format("{}:{}", PQhost(state_->line.get()), PQport(state_->line.get()));
}

std::vector<notification> connection::take_notifications() {
  auto& kept = state_->line.notifications;
  std::vector<notification> taken(std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
  kept.clear();
  return taken;
}

asio::awaitable<bool> connection::wait_notification(milliseconds timeout, async::stop_token stop) {
  state& on = *state_;
  const turn<state> mine(on);
  on.arm(timeout);
  const async::subscription wake = stop.on_soft([&on] { on.line.interrupt(); });
  while (on.line.notifications.empty() && !stop.soft_requested()) {
    const auto end = co_await on.line.wait_read();
    if (end == wire::wait_end::deadline || stop.soft_requested()) break;
    if (end == wire::wait_end::interrupted) throw boost::system::system_error(asio::error::operation_aborted);
    if (!on.line.consume()) throw error_of(on.line.get(), "waiting for notifications");
  }
  co_return !on.line.notifications.empty();
}

std::string quote_identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace fleet::postgres
