// SQLite in the little that the spool needs: statements with bound values, errors as `base::failure` (`unavailable`).
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace fleet::quantumflow::sqlite {

struct closer {
  void operator()(sqlite3* handle) const;
  void operator()(sqlite3_stmt* statement) const;
};

class statement {
 public:
  statement(sqlite3* on, std::string_view sql);
  statement& bind(std::int64_t value);
  statement& bind(std::string_view value);
  bool step();  ///< true: a row. Throws on an error.
  std::int64_t integer(int column) const;
  std::string text(int column) const;

 private:
  sqlite3* on_;
  std::unique_ptr<sqlite3_stmt, closer> statement_;
  int bound_ = 0;
};

class connection {
 public:
  /// Opens or creates, with one writer for the life of the connection: another process is refused.
  explicit connection(const std::filesystem::path& path);
  void run(std::string_view sql);
  statement prepare(std::string_view sql) { return {handle_.get(), sql}; }

 private:
  std::unique_ptr<sqlite3, closer> handle_;
};

/// Begins at once; rolls back unless committed.
class transaction {
 public:
  explicit transaction(connection& on) : on_(on) { on_.run("begin immediate"); }
  ~transaction();
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  void commit();

 private:
  connection& on_;
  bool open_ = true;
};

/// The failure says that the file is damaged, and not that it is busy, full or forbidden.
bool is_damage(std::string_view error_message);

}  // namespace fleet::quantumflow::sqlite
