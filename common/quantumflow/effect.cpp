#include "common/quantumflow/effect.hpp"

#include <fmt/format.h>

#include <utility>

namespace fleet::quantumflow {

namespace {

struct beginning {
  bool settled = false;
  std::string result;
  int tries = 0;
};

/// The worker holds one already. Where all connections are held by workers that wait here, none ever comes.
boost::asio::awaitable<postgres::lease> second_connection(postgres::pool& connections) {
  postgres::sql_error_parts none;
  try {
    co_return co_await connections.acquire();
  } catch (const postgres::sql_error& error) {
    const auto now = connections.stats();
    const bool all_in_hand = now.open - now.idle >= now.max_size;
    if (!all_in_hand || error.kind() != postgres::sql_kind::connection_lost) throw;
    none = error.parts();
  }
  none.message +=
      ": perform_once needs a second one beside its worker's, so the pool must have more than the workers that use it";
  throw postgres::sql_error(std::move(none));
}

boost::asio::awaitable<beginning> begin(postgres::pool& connections, std::string key) {
  auto connection = co_await second_connection(connections);
  auto arguments = postgres::make_params(key);
  const auto rows = co_await connection->query(
      "select settled, coalesce(result, '') as result, tries "
      "from quantumflow.begin_effect($1)",
      std::move(arguments));
  const auto row = rows.single();
  beginning found;
  found.settled = row.get<bool>("settled");
  found.result = row.get<std::string>("result");
  found.tries = row.get<int>("tries");
  co_return found;
}

}  // namespace

boost::asio::awaitable<std::string> perform_once(postgres::pool& connections, postgres::transaction& transaction,
                                                 effect what) {
  const auto known = co_await begin(connections, what.key);
  if (known.settled) co_return known.result;
  std::optional<std::string> result;
  if (known.tries > 1 && what.find) result = co_await what.find();
  if (!result) result = co_await what.perform();
  auto arguments = postgres::make_params(what.key, *result);
  co_await transaction.query("select quantumflow.settle_effect($1, $2)", std::move(arguments));
  co_return *result;
}

}  // namespace fleet::quantumflow
