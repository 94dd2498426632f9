#include "common/quantumflow/sqlite.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include "common/base/error.hpp"

namespace fleet::quantumflow::sqlite {

namespace {

constexpr std::string_view damage = "the file is damaged";

[[noreturn]] void fail(sqlite3* on, int code) {
  const int kind = code & 0xFF;
  // All statements are the spool's own: one that is called wrong (SQLITE_ERROR) met a file that is not what it was.
  const bool damaged = kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_ERROR;
  const auto said = on == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(on);
  throw base::failure(base::make_error(base::error_kind::unavailable,
                                       fmt::format("spool: {}{}", damaged ? fmt::format("{}: ", damage) : "", said)));
}

}  // namespace

void closer::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}
void closer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

statement::statement(sqlite3* on, std::string_view sql) : on_(on) {
  sqlite3_stmt* made = nullptr;
  const int code = sqlite3_prepare_v2(on, sql.data(), static_cast<int>(sql.size()), &made, nullptr);
  if (code != SQLITE_OK) fail(on, code);
  statement_.reset(made);
}

statement& statement::bind(std::int64_t value) {
  if (const int code = sqlite3_bind_int64(statement_.get(), ++bound_, value); code != SQLITE_OK) fail(on_, code);
  return *this;
}

statement& statement::bind(std::string_view value) {
  const int code =
      sqlite3_bind_text64(statement_.get(), ++bound_, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) fail(on_, code);
  return *this;
}

bool statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code != SQLITE_ROW && code != SQLITE_DONE) fail(on_, code);
  return code == SQLITE_ROW;
}

std::int64_t statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

connection::connection(const std::filesystem::path& path) {
  sqlite3* made = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &made, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  handle_.reset(made);
  if (code != SQLITE_OK) fail(made, code);
  sqlite3_busy_timeout(made, 1'000);
  // EXCLUSIVE before WAL: no shared memory file, and a second process is refused at its first statement.
  run("pragma locking_mode = exclusive");
  run("pragma journal_mode = wal");
  run("pragma synchronous = full");
  // The file itself has every commit before it is answered, and the log the last one alone: SQLite reads a log up to
  // the first damaged frame and takes that for its end, so what stood there only would be gone without a word. It also
  // leaves a disk that is nearly full the room that removing entries needs.
  run("pragma wal_autocheckpoint = 1");
  // What is deleted is zeroed: it must not be taken for an entry where a damaged file is read page by page.
  run("pragma secure_delete = on");
  run("begin immediate");
  run("commit");
  // What a process that died left in the log must not stand before the next commit in it: see above. A disk that takes
  // no writes is no reason to refuse reading.
  sqlite3_wal_checkpoint_v2(made, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
}

void connection::run(std::string_view sql) {
  const std::string text(sql);
  const int code = sqlite3_exec(handle_.get(), text.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(handle_.get(), code);
}

transaction::~transaction() {
  if (!open_) return;
  try {
    on_.run("rollback");
  } catch (const base::failure&) {  // SQLite rolls back by itself where the disk is full
  }
}

void transaction::commit() {
  on_.run("commit");
  open_ = false;
}

bool is_damage(std::string_view error_message) {
  return error_message.find(damage) != std::string_view::npos;
}

}  // namespace fleet::quantumflow::sqlite
