#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "common/messages/reader.hpp"
#include "singularity_agent/api/answers.hpp"
#include "singularity_agent/api/routes.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/patterns/suggestions.hpp"

namespace fleet::agent::api {
namespace {

using boost::asio::awaitable;
using http::request;
using http::response;

constexpr int max_votes_shown = 1000;
constexpr messages::text_length code_length{1, 1U << 20};

class knowledge_handlers {
 public:
  explicit knowledge_handlers(parts with) : with_(with) {}

  awaitable<response> waiting_votes(request) {
    auto connection = co_await with_.connections.acquire(connection_wait);
    auto waiting = co_await with_.votes.waiting(*connection, max_votes_shown);
    co_return named_list("votes", std::move(waiting));
  }

  awaitable<response> vote(request from) {
    auto taken = co_await with_.intake.take(intake::kind::vote, body_of(from));
    co_return http::json_response(202, std::move(taken.reply));
  }

  awaitable<response> tell_metrics(request from) {
    auto taken = co_await with_.intake.take(intake::kind::agent_metrics, traced_body_of(from));
    co_return http::json_response(202, std::move(taken.reply));
  }

  awaitable<response> report_pattern(request from) {
    auto taken = co_await with_.intake.take(intake::kind::pattern, traced_body_of(from));
    co_return http::json_response(202, std::move(taken.reply));
  }

  awaitable<response> suggest(request from) {
    const auto body = body_of(from);
    messages::reader in(body);
    patterns::pattern_query query;
    query.pattern_type = in.id("pattern_type");
    query.min_success_rate = patterns::min_success_rate;
    const auto code = in.text("code", code_length);
    if (!in.ok()) co_return http::problem(in.error());
    std::vector<boost::json::object> known;
    {
      auto connection = co_await with_.connections.acquire(connection_wait);
      known = co_await with_.patterns.list(*connection, std::move(query));
    }
    co_return named_list("suggestions", patterns::suggest(code, std::move(known)));
  }

  awaitable<response> profiles(request) {
    auto connection = co_await with_.connections.acquire(connection_wait);
    auto all = co_await with_.executions.profiles(*connection, std::nullopt);
    co_return named_list("safety_profiles", std::move(all));
  }

  awaitable<response> profile(request from) {
    std::optional<std::string> agent_type(from.parameter("agent_type"));
    auto connection = co_await with_.connections.acquire(connection_wait);
    auto all = co_await with_.executions.profiles(*connection, agent_type);
    if (all.empty()) {
      fail(base::error_kind::not_found, fmt::format("no safety profile of agent type '{}' is known here", *agent_type));
    }
    co_return http::json_response(200, all[0]);
  }

 private:
  parts with_;
};

}  // namespace

void add_knowledge_routes(http::router& to, const parts& with) {
  const auto all = std::make_shared<knowledge_handlers>(with);
  to.add("GET", "/v1/votes", [all](request from) { return all->waiting_votes(std::move(from)); });
  to.add("POST", "/v1/votes", [all](request from) { return all->vote(std::move(from)); });
  to.add("POST", "/v1/metrics", [all](request from) { return all->tell_metrics(std::move(from)); });
  to.add("POST", "/v1/patterns", [all](request from) { return all->report_pattern(std::move(from)); });
  to.add("POST", "/v1/patterns/suggest", [all](request from) { return all->suggest(std::move(from)); });
  to.add("GET", "/v1/safety-profiles", [all](request from) { return all->profiles(std::move(from)); });
  to.add("GET", "/v1/safety-profiles/{agent_type}", [all](request from) { return all->profile(std::move(from)); });
}

}  // namespace fleet::agent::api
