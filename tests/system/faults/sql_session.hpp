// A blocking session for threads of the suite, on the project's own connection: every wait has a bound.
#pragma once
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "common/postgres/connection.hpp"

namespace fleet::test::faults {

/// Nobody was there to send the statement to: it has not happened.
struct not_sent : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// For one thread. After a failure of the connection the next call opens a new one.
class sql_session {
 public:
  explicit sql_session(std::string url, std::string name = "fault_tests",
                       std::chrono::milliseconds statement_timeout = std::chrono::seconds(5));
  ~sql_session();
  sql_session(const sql_session&) = delete;
  sql_session& operator=(const sql_session&) = delete;

  /// One statement, or one transaction block's part. Throws `not_sent` and `postgres::sql_error`.
  postgres::rows query(const std::string& sql, postgres::params values = {});
  std::string value(const std::string& sql, postgres::params values = {});  ///< the first column of the only row
  void script(const std::string& sql);
  /// Until the next statement.
  void close() { connection_.reset(); }
  /// BEGIN, what `work` does, COMMIT. Throws as `query`; `unknown` says that the COMMIT's reply was lost.
  void transaction(const std::function<void()>& work, bool& unknown);

 private:
  void connect();

  postgres::settings how_;
  std::unique_ptr<boost::asio::io_context> io_;
  std::unique_ptr<postgres::connection> connection_;
  bool in_block_ = false;
};

}  // namespace fleet::test::faults
