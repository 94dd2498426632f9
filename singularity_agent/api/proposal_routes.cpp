#include <fmt/format.h>

#include <memory>
#include <utility>

#include "singularity_agent/api/answers.hpp"
#include "singularity_agent/api/routes.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/proposals/states.hpp"

namespace fleet::agent::api {
namespace {

using boost::asio::awaitable;
using http::request;
using http::response;

constexpr std::int64_t default_limit = 100;
constexpr std::int64_t max_limit = 1000;

class proposal_handlers {
 public:
  explicit proposal_handlers(parts with) : with_(with) {}

  awaitable<response> submit(request from) {
    auto taken = co_await with_.intake.take(intake::kind::proposal, traced_body_of(from));
    co_return http::json_response(taken.spooled ? 202 : 201, std::move(taken.reply));
  }

  awaitable<response> list(request from) {
    proposals::list_query query;
    const auto limit = from.query_int("limit", default_limit, 1, max_limit);
    if (!limit) co_return http::problem(limit.error());
    query.limit = static_cast<int>(*limit);
    query.after = from.query_value("after");
    query.status = from.query_value("status");
    if (query.status) {
      const auto known = proposals::parse_proposal_state(*query.status);
      if (!known) {
        auto wrong = base::invalid_fields({{"status", known.error().message}});
        co_return http::problem(wrong);
      }
    }
    const auto after = query.after;
    auto connection = co_await with_.connections.acquire(connection_wait);
    auto found = co_await with_.proposals.list(*connection, std::move(query));
    // Behind what is not there, nothing would look like the end of the list.
    if (found.empty() && after) {
      const base::proposal_id id(*after);
      const auto known = co_await with_.proposals.find(*connection, id);
      if (!known) fail(base::error_kind::not_found, fmt::format("after: there is no proposal '{}' here", id.str()));
    }
    co_return named_list("proposals", std::move(found));
  }

  awaitable<response> one(request from) {
    const base::proposal_id id(from.parameter("id"));
    auto connection = co_await with_.connections.acquire(connection_wait);
    auto story = co_await with_.proposals.story(*connection, id);
    if (!story) fail(base::error_kind::not_found, fmt::format("there is no proposal '{}' here", id.str()));
    co_return http::json_response(200, std::move(*story));
  }

  awaitable<response> report(request from) {
    boost::json::object body;
    body["proposal_id"] = from.parameter("id");
    body["metrics"] = body_of(from);
    body[messages::trace_field] = traceparent_of(from, body);
    auto taken = co_await with_.intake.take(intake::kind::proposal_metrics, std::move(body));
    co_return http::json_response(202, std::move(taken.reply));
  }

  awaitable<response> events(request) {
    auto stream = co_await with_.events.subscribe();
    if (!stream) fail(base::error_kind::unavailable, "too many clients follow the events already");
    co_return http::stream_response(std::move(stream));
  }

 private:
  parts with_;
};

}  // namespace

void add_proposal_routes(http::router& to, const parts& with) {
  const auto all = std::make_shared<proposal_handlers>(with);
  to.add("POST", "/v1/proposals", [all](request from) { return all->submit(std::move(from)); });
  to.add("GET", "/v1/proposals", [all](request from) { return all->list(std::move(from)); });
  to.add("GET", "/v1/proposals/{id}", [all](request from) { return all->one(std::move(from)); });
  to.add("POST", "/v1/proposals/{id}/metrics", [all](request from) { return all->report(std::move(from)); });
  to.add("GET", "/v1/events", [all](request from) { return all->events(std::move(from)); });
}

}  // namespace fleet::agent::api
