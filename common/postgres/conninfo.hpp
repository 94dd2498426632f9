// A connection string taken apart: its hosts, and the string again without some of them. Internal to this folder.
#pragma once
#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/postgres/settings.hpp"

namespace fleet::postgres {

class conninfo {
 public:
  /// Throws `sql_error` (`invalid_input`) where libpq cannot read the url; the message holds no password.
  explicit conninfo(const settings& how);
  /// The keywords and values that stand in the url, without defaults. Throws as the constructor.
  static std::vector<std::pair<std::string, std::string>> as_written(const std::string& url);

  /// At least 1, also where libpq takes the host from elsewhere (environment, service file).
  std::size_t hosts() const { return hosts_.empty() ? 1 : hosts_.size(); }
  /// Which host that is; one of `skipped` is not meant. 0 where it is none of them.
  std::size_t index_of(std::string_view name, std::string_view port, const std::set<std::size_t>& skipped) const;
  /// Keywords and values for libpq.
  std::vector<std::pair<std::string, std::string>> options(const std::set<std::size_t>& skipped) const;
  /// "db1:5432, db2:5432", for messages.
  std::string names() const;
  /// Time for each host: the url's connect_timeout, otherwise the settings'.
  std::chrono::milliseconds host_timeout() const { return host_timeout_; }

 private:
  struct endpoint {
    std::string name;
    std::string address;
    std::string port;
  };
  const std::string* find(std::string_view keyword) const;
  void add_default(const std::string& keyword, const std::string& value);

  std::vector<std::pair<std::string, std::string>> options_;
  std::vector<endpoint> hosts_;
  std::chrono::milliseconds host_timeout_;
};

}  // namespace fleet::postgres
