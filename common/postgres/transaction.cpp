#include "common/postgres/transaction.hpp"

#include <fmt/format.h>

#include <utility>

namespace fleet::postgres {

namespace asio = boost::asio;

namespace {

base::failure not_active() {
  return base::failure(base::make_error(base::error_kind::internal, "the transaction has ended already"));
}

}  // namespace

asio::awaitable<transaction> transaction::begin(connection& on) {
  if (on.in_transaction()) {
    throw base::failure(base::make_error(base::error_kind::internal, "the connection is inside a transaction already"));
  }
  if (on.pooled()) {
    const auto& limits = on.options();
    auto script = fmt::format(
        "begin isolation level read committed; set local statement_timeout = {}; "
        "set local idle_in_transaction_session_timeout = {}",
        limits.statement_timeout.count(), limits.idle_in_transaction_timeout.count());
    co_await on.run_script(std::move(script));
  } else {
    on.begin_with_next();
  }
  co_return transaction(on);
}

transaction::~transaction() {
  if (on_ != nullptr) on_->mark_broken();
}

connection& transaction::on() {
  if (on_ == nullptr) throw not_active();
  return *on_;
}

asio::awaitable<rows> transaction::query(std::string sql, params values,
                                         std::optional<std::chrono::milliseconds> timeout) {
  co_return co_await on().query(std::move(sql), std::move(values), timeout);
}

asio::awaitable<void> transaction::run_script(std::string sql, std::optional<std::chrono::milliseconds> timeout) {
  co_await on().run_script(std::move(sql), timeout);
}

asio::awaitable<void> transaction::commit() {
  connection& used = on();
  if (used.end_unbegun()) {
    committed();
    co_return;
  }
  // Given up before the statement is sent: when the connection is gone before that, it cannot have happened. Once it is
  // on its way, only an answer can tell.
  if (!used.check_alive()) {
    on_ = nullptr;
    sql_error_parts parts;
    parts.kind = sql_kind::connection_lost;
    parts.doing = "committing";
    parts.message = "the connection was lost before";
    throw sql_error(std::move(parts));
  }
  std::optional<sql_error_parts> failed;
  rows done;
  try {
    done = co_await used.query("commit");
  } catch (const sql_error& error) {
    failed = error.parts();
  }
  if (!failed && done.command() == "COMMIT") {
    committed();
    co_return;
  }
  // A COMMIT of a failed transaction succeeds, as a ROLLBACK.
  if (!failed) {
    failed.emplace();
    failed->kind = sql_kind::conflict;
    failed->sqlstate = "40000";
    failed->message = "the server rolled the transaction back, because a statement in it had failed";
  }
  failed->doing = "committing";
  failed->outcome_unknown = !used.usable();
  if (used.usable() && used.in_transaction()) {
    // Refused, and still open: left to the caller's rollback.
    throw sql_error(std::move(*failed));
  }
  on_ = nullptr;
  throw sql_error(std::move(*failed));
}

void transaction::committed() {
  on_ = nullptr;
  const auto calls = std::exchange(on_commit_, {});
  for (const auto& call : calls) call();
}

asio::awaitable<void> transaction::rollback() {
  connection& used = on();
  if (!used.end_unbegun()) co_await used.query("rollback");
  on_ = nullptr;
}

asio::awaitable<void> detail::roll_back_quietly(transaction& open) {
  if (!open.active()) co_return;
  if (!open.on().usable()) co_return;  // its destructor does what is left
  try {
    co_await open.rollback();
  } catch (const sql_error&) {
    // The connection is lost or was given up: the server rolls back by itself, and a pool drops the connection.
  }
}

}  // namespace fleet::postgres
