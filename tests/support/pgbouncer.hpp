// A PgBouncer of the tests' own in transaction mode before a private PostgreSQL, as a deployment would run it: it looks
// the roles' SCRAM secrets up in the server and logs in with them.
#pragma once
#include <memory>
#include <string>

namespace fleet::test {

class private_postgres;
class daemon_process;

/// Ends with the object. As root it runs as the server's user. Failures throw std::runtime_error with its log.
class pgbouncer {
 public:
  /// `page`: one whose `ini` block has the settings and whose `sql` block has the lookup, used but for places, the
  /// password and TLS. Superusers cannot log in then, and only databases that are made afterwards have the lookup.
  /// Empty: settings of its own, with which every role can log in to every database.
  explicit pgbouncer(const private_postgres& before, const std::string& page = {});
  ~pgbouncer();
  pgbouncer(const pgbouncer&) = delete;
  pgbouncer& operator=(const pgbouncer&) = delete;

  /// The same role and database through the pooler. `url` needs a password and a query part.
  std::string route(const std::string& url) const;
  std::string log() const;

 private:
  std::string directory_;
  int port_ = 0;
  std::unique_ptr<daemon_process> process_;
};

}  // namespace fleet::test
