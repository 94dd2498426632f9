// A PostgreSQL of the tests' own: temporary directory, Unix socket and a free loopback port, gone with the process.
#pragma once
#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace fleet::test {

class private_postgres;

struct private_postgres_options {
  bool fsync = false;
  bool standby = false;                          ///< a hot standby of nobody: reads only, until `select pg_promote()`
  const private_postgres* standby_of = nullptr;  ///< a standby that streams from that one, with its settings
  std::map<std::string, std::string> settings = {};  ///< further ones of postgresql.conf
};

/// A port that was free a moment ago.
int free_port();

/// Blocking; every wait is bounded. As root it runs as `postgres` or `nobody`. The server also ends when the process
/// that started it is killed. Local connections are trusted, TCP ones need a SCRAM password (superuser: postgres /
/// secret). Failures throw std::runtime_error with the server's log.
class private_postgres {
 public:
  explicit private_postgres(private_postgres_options options = {});
  ~private_postgres();
  private_postgres(const private_postgres&) = delete;
  private_postgres& operator=(const private_postgres&) = delete;

  /// The one that the tests of this process share, started at first use; with fsync where FLEET_TEST_FSYNC is set,
  /// and with the server settings of FLEET_TEST_SETTINGS ("name=value;name=value").
  static private_postgres& shared();

  /// A new empty database; one of that name is replaced. Returns its URL (by Unix socket, as superuser).
  std::string create_database(const std::string& name);
  std::string url(const std::string& database = "postgres", const std::string& user = "postgres") const;
  std::string tcp_url(const std::string& database = "postgres", const std::string& user = "postgres",
                      const std::string& password = "secret") const;
  /// Runs SQL through psql and returns its bare output (no header, columns by "|").
  std::string psql(const std::string& sql, const std::string& database = "postgres") const;

  void start();
  void stop();   ///< fast: ends all sessions, writes a checkpoint
  void kill9();  ///< as in a power failure
  void restart() {
    stop();
    start();
  }
  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  int port() const { return port_; }
  const std::string& directory() const { return directory_; }
  const std::string& user() const { return user_; }  ///< that it runs as; empty: the one who runs the tests
  /// Words before a command that start it as that user and end it with this process.
  std::vector<std::string> launcher() const;

 private:
  void initialize();
  bool wait_ready();
  void end_with(int signal);
  std::string log_tail() const;

  private_postgres_options options_;
  std::string directory_;
  std::string user_;
  int port_ = 0;
  pid_t pid_ = -1;
};

/// The shared server killed, and started again when this goes, even where a check fails.
struct database_outage {
  database_outage() { private_postgres::shared().kill9(); }
  ~database_outage() { end(); }
  database_outage(const database_outage&) = delete;
  database_outage& operator=(const database_outage&) = delete;
  void end() {
    if (!private_postgres::shared().running()) private_postgres::shared().start();
  }
};

}  // namespace fleet::test
