#include "tests/system/faults/sql_session.hpp"

#include "common/postgres/error.hpp"
#include "tests/support/run.hpp"

namespace fleet::test::faults {

namespace {

/// Past every statement timeout in use: the connection's own deadline comes first.
constexpr std::chrono::seconds limit{200};

}  // namespace

sql_session::sql_session(std::string url, std::string name, std::chrono::milliseconds statement_timeout)
    : io_(std::make_unique<boost::asio::io_context>()) {
  how_.url = std::move(url);
  how_.application_name = std::move(name);
  how_.connect_timeout = std::chrono::milliseconds(1'500);
  how_.statement_timeout = statement_timeout;
}

sql_session::~sql_session() = default;

void sql_session::connect() {
  if (connection_ && connection_->usable() && connection_->check_alive()) return;
  close();
  // A statement of a block must not run outside of it, on a new connection.
  if (in_block_) throw not_sent("the connection of the transaction is gone");
  try {
    connection_ = run(*io_, postgres::connection::open(how_), limit);
  } catch (const postgres::sql_error& error) {
    throw not_sent(error.what());
  }
}

postgres::rows sql_session::query(const std::string& sql, postgres::params values) {
  connect();
  try {
    return run(*io_, connection_->query(sql, std::move(values)), limit);
  } catch (const postgres::sql_error&) {
    if (connection_->in_transaction() || !connection_->usable()) close();
    throw;
  }
}

std::string sql_session::value(const std::string& sql, postgres::params values) {
  return std::string(query(sql, std::move(values)).single().text(std::size_t{0}));
}

void sql_session::script(const std::string& sql) {
  connect();
  run(*io_, connection_->run_script(sql, limit), limit * 2);
}

void sql_session::transaction(const std::function<void()>& work, bool& unknown) {
  unknown = false;
  query("begin");
  in_block_ = true;
  try {
    work();
    unknown = true;
    query("commit");
    unknown = false;
  } catch (const not_sent&) {
    unknown = in_block_ = false;
    throw;
  } catch (...) {
    in_block_ = false;
    close();  // the server rolls back
    throw;
  }
  in_block_ = false;
}

}  // namespace fleet::test::faults
