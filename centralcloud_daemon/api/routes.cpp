#include "centralcloud_daemon/api/routes.hpp"

#include <boost/json/object.hpp>
#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "centralcloud_daemon/alerts/alert_repository.hpp"
#include "centralcloud_daemon/api/rules_in_force.hpp"
#include "centralcloud_daemon/overview_repository.hpp"
#include "common/base/error.hpp"
#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/postgres/error.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/inspect.hpp"

namespace fleet::central::api {
namespace {

using boost::asio::awaitable;
using http::request;
using http::response;

constexpr std::int64_t default_limit = 100;
constexpr std::int64_t max_limit = 1000;
constexpr std::int64_t newest_steps = 30;
constexpr std::size_t max_reason_bytes = 2000;

response named_list(std::string_view name, const std::string& list) {
  return http::text_response(200, "{\"" + std::string(name) + "\":" + list + "}", "application/json");
}

std::int64_t limit_of(const request& from) {
  const auto limit = from.query_int("limit", default_limit, 1, max_limit);
  if (!limit) throw base::failure(limit.error());
  return *limit;
}

[[noreturn]] void fail(base::error_kind kind, std::string message) {
  throw base::failure(base::make_error(kind, std::move(message)));
}

[[noreturn]] void refuse_field(std::string name, std::string message) {
  std::vector<base::field_error> fields;
  fields.push_back({std::move(name), std::move(message)});
  throw base::failure(base::invalid_fields(std::move(fields)));
}

/// Runs what names a queue or a dead letter: that it does not exist, or that its reader was retired, is the caller's
/// mistake, not a defect.
template <class T>
awaitable<T> or_refusal(awaitable<T> call) {
  std::optional<base::error> refused;
  try {
    co_return co_await std::move(call);
  } catch (const postgres::sql_error& error) {
    const bool retired = error.sqlstate() == "55000";
    const bool missing = error.sqlstate() == "42704" || error.sqlstate() == "P0002" || error.sqlstate() == "02000";
    if (!missing && !retired) throw;
    refused = base::make_error(missing ? base::error_kind::not_found : base::error_kind::conflict, error.message());
  }
  throw base::failure(*refused);
}

class handlers {
 public:
  explicit handlers(parts with) : with_(with) {}

  awaitable<response> queues(request) {
    auto lease = co_await with_.pool.acquire();
    co_return named_list("queues", co_await list_queues(*lease));
  }

  awaitable<response> messages(request from) {
    const auto limit = limit_of(from);
    auto lease = co_await with_.pool.acquire();
    co_return named_list("messages", co_await or_refusal(list_pending(*lease, from.parameter("queue"), limit)));
  }

  awaitable<response> dead_letters(request from) {
    const auto limit = limit_of(from);
    auto lease = co_await with_.pool.acquire();
    co_return named_list("dlq", co_await or_refusal(list_dead_letters(*lease, from.query_value("queue"), limit)));
  }

  awaitable<response> retry(request from) {
    const auto& text = from.parameter("id");
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size())
      refuse_field("id", "expected the number of a dead letter");
    auto lease = co_await with_.pool.acquire();
    const auto message = co_await or_refusal(quantumflow::retry_dlq_message(*lease, id));
    boost::json::object body;
    body["message_id"] = base::to_int(message);
    co_return http::json_response(200, std::move(body));
  }

  awaitable<response> purge(request from) {
    auto lease = co_await with_.pool.acquire();
    const auto count = co_await or_refusal(quantumflow::purge_dlq(*lease, from.query_value("queue")));
    boost::json::object body;
    body["purged"] = count;
    co_return http::json_response(200, std::move(body));
  }

  awaitable<response> proposals(request from) {
    page wanted;
    wanted.max = limit_of(from);
    wanted.after = from.query_value("after");
    auto status = from.query_value("status");
    if (status) {
      const auto known = check_proposal_status(*status);
      if (!known) throw base::failure(known.error());
    }
    auto lease = co_await with_.pool.acquire();
    auto reading = list_proposals(*lease, std::move(status), std::move(wanted));
    co_return named_list("proposals", co_await or_refusal(std::move(reading)));
  }

  awaitable<response> proposal(request from) {
    const base::proposal_id id(from.parameter("id"));
    auto lease = co_await with_.pool.acquire();
    const bool with_code = from.query_value("code") != "false";
    const auto samples_after = from.query_int("samples_after", 0, 0, std::numeric_limits<std::int64_t>::max());
    if (!samples_after) throw base::failure(samples_after.error());
    auto story = co_await read_story(*lease, id, with_code, *samples_after);
    if (!story) fail(base::error_kind::not_found, "there is no proposal \"" + id.str() + "\"");
    // What the figures were held against goes into the same object, behind what the database says.
    story->text.pop_back();
    story->text +=
        ",\"rules\":" + base::write_json(rules_in_force(with_.consensus, with_.guardian, story->profile)) + "}";
    co_return http::text_response(200, std::move(story->text), "application/json");
  }

  awaitable<response> roll_back(request from) {
    guardian::watch::operator_request wanted;
    wanted.proposal = base::proposal_id(from.parameter("id"));
    wanted.reason = reason_of(from);
    wanted.actor = "operator (http)";
    auto lease = co_await with_.pool.acquire();
    const auto work = [&](postgres::transaction& open) { return with_.changes.roll_back_by_operator(open, wanted); };
    const auto answered = co_await postgres::in_transaction(*lease, work);
    if (!answered) co_return http::problem(answered.error());
    boost::json::object body;
    body["proposal_id"] = wanted.proposal.str();
    body["rollback_id"] = answered->rollback_id;
    body["again"] = answered->again;
    co_return http::json_response(202, std::move(body));
  }

  awaitable<response> instances(request from) {
    page wanted;
    wanted.max = limit_of(from);
    wanted.after = from.query_value("after");
    auto lease = co_await with_.pool.acquire();
    auto reading = list_instances(*lease, with_.consensus.heartbeat_timeout, std::move(wanted));
    co_return named_list("instances", co_await std::move(reading));
  }

  awaitable<response> alerts(request from) {
    const auto limit = limit_of(from);
    const auto recent = from.query_value("recent") == "true";
    auto lease = co_await with_.pool.acquire();
    co_return named_list("alerts", co_await alerts::list_alerts(*lease, recent, limit));
  }

  awaitable<response> patterns(request from) {
    const auto limit = limit_of(from);
    auto lease = co_await with_.pool.acquire();
    co_return named_list("patterns", co_await list_patterns(*lease, limit));
  }

  awaitable<response> safety_profiles(request from) {
    const auto limit = limit_of(from);
    auto lease = co_await with_.pool.acquire();
    co_return named_list("safety_profiles", co_await list_safety_profiles(*lease, limit));
  }

  awaitable<response> overview(request) {
    auto lease = co_await with_.pool.acquire();
    auto text = co_await read_overview(*lease, with_.monitor.heartbeat_timeout, with_.monitor.instance_forgotten);
    co_return http::text_response(200, std::move(text), "application/json");
  }

  awaitable<response> activity(request) {
    auto lease = co_await with_.pool.acquire();
    auto minutes = co_await read_activity(*lease);
    const auto newest = co_await steps_since(*lease, std::nullopt, newest_steps);
    std::string text = "{\"minutes\":" + std::move(minutes) + ",\"steps\":" + newest.steps + "}";
    co_return http::text_response(200, std::move(text), "application/json");
  }

  awaitable<response> events(request) {
    auto stream = with_.events.subscribe();
    if (!stream) fail(base::error_kind::unavailable, "too many event streams are open");
    co_return http::stream_response(std::move(stream));
  }

 private:
  static std::string reason_of(const request& from) {
    const auto body = from.json_body();
    if (!body) throw base::failure(body.error());
    const auto* reason = body->if_contains("reason");
    const bool fits = reason != nullptr && reason->is_string() && !base::trim(reason->get_string()).empty() &&
                      reason->get_string().size() <= max_reason_bytes &&
                      !base::has_control_characters(reason->get_string());
    if (!fits) refuse_field("reason", "expected a text of 1 to 2000 bytes without control characters");
    return std::string(reason->get_string());
  }

  parts with_;
};

}  // namespace

void add_routes(http::router& to, parts with) {
  auto all = std::make_shared<handlers>(with);
  const auto route = [&](std::string_view method, std::string_view pattern, auto member) {
    to.add(method, pattern, [all, member](request from) { return ((*all).*member)(std::move(from)); });
  };
  route("GET", "/v1/overview", &handlers::overview);
  route("GET", "/v1/activity", &handlers::activity);
  route("GET", "/v1/events", &handlers::events);
  route("GET", "/v1/queues", &handlers::queues);
  route("GET", "/v1/queues/{queue}/messages", &handlers::messages);
  route("GET", "/v1/dlq", &handlers::dead_letters);
  route("DELETE", "/v1/dlq", &handlers::purge);
  route("POST", "/v1/dlq/{id}/retry", &handlers::retry);
  route("GET", "/v1/proposals", &handlers::proposals);
  route("GET", "/v1/proposals/{id}", &handlers::proposal);
  route("POST", "/v1/proposals/{id}/rollback", &handlers::roll_back);
  route("GET", "/v1/instances", &handlers::instances);
  route("GET", "/v1/patterns", &handlers::patterns);
  route("GET", "/v1/alerts", &handlers::alerts);
  route("GET", "/v1/safety-profiles", &handlers::safety_profiles);
}

}  // namespace fleet::central::api
