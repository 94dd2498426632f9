// One session with PostgreSQL.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/async/stop.hpp"
#include "common/postgres/error.hpp"
#include "common/postgres/params.hpp"
#include "common/postgres/rows.hpp"
#include "common/postgres/settings.hpp"

namespace fleet::postgres {

struct notification {
  std::string channel;
  std::string payload;
  int backend_pid = 0;  ///< of the session that sent it
};

/// For one coroutine at a time, on the thread of the executor it was opened on. After a failure of the connection
/// itself (lost, or given up at a deadline) it is not `usable` and only to be destroyed.
class connection {
 public:
  /// Throws `sql_error`. Name look-up, TLS and password hashing run on the blocking pool.
  static boost::asio::awaitable<std::unique_ptr<connection>> open(settings how);
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  /// Runs one statement. Throws `sql_error`. Without `timeout` the session's statement_timeout holds, on the server
  /// first (the connection stays usable), `client_grace` later on the client. A shorter `timeout` is kept by the client
  /// alone: the connection is dropped when it passes. A longer one is set on the server for this statement.
  boost::asio::awaitable<rows> query(std::string sql, params values = {},
                                     std::optional<std::chrono::milliseconds> timeout = {});
  /// Runs any number of statements (simple protocol, one implicit transaction unless the script says BEGIN); rows are
  /// dropped. Throws `sql_error`.
  boost::asio::awaitable<void> run_script(std::string sql, std::optional<std::chrono::milliseconds> timeout = {});

  /// Nothing is known to be wrong with the connection.
  bool usable() const;
  /// Looks, without waiting, whether the other side has hung up meanwhile; then it is not usable any more.
  bool check_alive();
  /// Inside a transaction block, working or failed; or about to begin one.
  bool in_transaction() const;
  /// The next statement begins a transaction: BEGIN goes with it in one round trip. `transaction` calls this.
  void begin_with_next();
  /// Takes that back where no statement has come. False: the transaction has begun.
  bool end_unbegun();
  /// A connection pooler is between, and each transaction may run in another session: nothing named is prepared,
  /// `statement_timeout` is set on the server inside a `transaction` only, and neither LISTEN nor locks of a session
  /// work.
  bool pooled() const;
  /// Makes it unusable, for whoever knows that its state is not to be trusted.
  void mark_broken();
  int backend_pid() const;
  const settings& options() const;
  std::string server() const;  ///< "host:port" or the socket's directory, for logs

  /// Notifications that arrived so far, oldest first. At most 10000 are kept, later ones are dropped (a notification
  /// says "look again", and so do the kept ones).
  std::vector<notification> take_notifications();
  /// True: there are notifications to take. False: the time is over, or a soft stop is requested. Throws `sql_error`
  /// when the connection is lost.
  boost::asio::awaitable<bool> wait_notification(std::chrono::milliseconds timeout, async::stop_token stop = {});

 private:
  struct state;
  explicit connection(std::unique_ptr<state> from);
  std::unique_ptr<state> state_;
};

/// "name" as an SQL identifier, quoted.
std::string quote_identifier(std::string_view name);

}  // namespace fleet::postgres
