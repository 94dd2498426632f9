#include "singularity_agent/patterns/pattern_repository.hpp"

namespace fleet::agent::patterns {

boost::asio::awaitable<void> pattern_repository::put(postgres::connection& on,
                                                     messages::consensus_pattern pattern) const {
  auto arguments = postgres::make_params(self_, pattern.encode(), pattern.timestamp);
  co_await on.query("select singularity.put_pattern($1, $2, $3)", std::move(arguments));
}

boost::asio::awaitable<std::vector<boost::json::object>> pattern_repository::list(postgres::connection& on,
                                                                                  pattern_query what) const {
  auto arguments = postgres::make_params(self_, what.pattern_type, what.min_success_rate, what.limit);
  const auto found = co_await on.query("select singularity.patterns($1, $2, $3, $4)", std::move(arguments));
  std::vector<boost::json::object> all;
  for (const auto& row : found) all.push_back(row.get<boost::json::object>(0));
  co_return all;
}

}  // namespace fleet::agent::patterns
