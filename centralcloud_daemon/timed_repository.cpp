#include "centralcloud_daemon/timed_repository.hpp"

#include <cstdint>
#include <utility>

namespace fleet::central {

boost::asio::awaitable<std::optional<std::chrono::milliseconds>> next_due(postgres::connection& connection,
                                                                          std::chrono::milliseconds silence) {
  auto args = postgres::make_params(silence.count());
  const auto answer = co_await connection.query("select centralcloud.next_due_ms($1) as ms", std::move(args));
  const auto ms = answer.single().get<std::optional<std::int64_t>>("ms");
  if (!ms) co_return std::nullopt;
  co_return std::chrono::milliseconds(*ms);
}

}  // namespace fleet::central
