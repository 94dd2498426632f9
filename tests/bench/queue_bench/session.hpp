// A blocking session for load threads: libpq with as little around it as can be, the same for every queue measured.
#pragma once
#include <libpq-fe.h>

#include <memory>
#include <string>
#include <vector>

namespace fleet::bench {

class answer {
 public:
  explicit answer(PGresult* result) : result_(result) {}
  int rows() const { return PQntuples(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  const char* text(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
  long number(int row, int column) const;

 private:
  struct clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, clear> result_;
};

/// Failures throw std::runtime_error. A statement ends after 60 s at the latest (statement_timeout).
class session {
 public:
  explicit session(const std::string& url);
  /// One statement, prepared when it is first seen. The parameters are only read.
  answer query(const std::string& sql, const std::vector<const char*>& parameters = {});
  /// Any number of statements, not prepared.
  answer script(const std::string& sql);
  /// COPY … FROM STDIN in text format, as a transaction of its own.
  void copy_in(const std::string& command, const std::string& data);

 private:
  answer checked(PGresult* result, const std::string& doing);
  struct finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  std::unique_ptr<PGconn, finish> connection_;
  std::vector<std::string> prepared_;
};

}  // namespace fleet::bench
