// The SQL of patterns that the fleet confirmed.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/ids.hpp"
#include "common/messages/consensus_pattern.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::agent::patterns {

struct pattern_query {
  std::string pattern_type;
  base::decimal min_success_rate;
  int limit = 1000;
};

/// All throw `postgres::sql_error`. The object must outlive its calls.
class pattern_repository {
 public:
  explicit pattern_repository(base::instance_id self) : self_(std::move(self)) {}

  /// An older version of a pattern never replaces a newer one.
  boost::asio::awaitable<void> put(postgres::connection& on, messages::consensus_pattern pattern) const;
  /// [{pattern_id, pattern_type, code_pattern, success_rate, …}], best first.
  boost::asio::awaitable<std::vector<boost::json::object>> list(postgres::connection& on, pattern_query what) const;

 private:
  base::instance_id self_;
};

}  // namespace fleet::agent::patterns
