#include "singularity_agent/intake/applier.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "common/messages/metrics.hpp"
#include "common/messages/pattern_discovered.hpp"
#include "common/messages/reader.hpp"
#include "common/messages/trace.hpp"
#include "common/messages/vote_choice.hpp"
#include "singularity_agent/database.hpp"

namespace fleet::agent::intake {
namespace {

using boost::asio::awaitable;
using boost::json::object;

constexpr std::array<std::pair<kind, std::string_view>, 5> names = {{{kind::proposal, "proposal"},
                                                                     {kind::proposal_metrics, "proposal_metrics"},
                                                                     {kind::agent_metrics, "agent_metrics"},
                                                                     {kind::vote, "vote"},
                                                                     {kind::pattern, "pattern"}}};

[[noreturn]] void fail(base::error_kind kind, std::string message) {
  throw base::failure(base::make_error(kind, std::move(message)));
}

struct proposal_metrics {
  base::proposal_id proposal;
  messages::metric_set metrics;
};

base::result<proposal_metrics> read_proposal_metrics(const object& body) {
  messages::reader in(body);
  proposal_metrics told;
  told.proposal = in.proposal_id();
  told.metrics = messages::read_metrics(in, "metrics");
  if (!in.ok()) return in.error();
  return told;
}

struct agent_metrics {
  std::string agent_type;
  messages::metric_set metrics;
};

base::result<agent_metrics> read_agent_metrics(const object& body) {
  messages::reader in(body);
  agent_metrics told;
  told.agent_type = in.id("agent_type");
  told.metrics = messages::read_metrics(in, "metrics");
  if (!in.ok()) return in.error();
  return told;
}

base::result<voting::vote_answer> read_vote(const object& body) {
  messages::reader in(body);
  voting::vote_answer answer;
  answer.proposal = in.proposal_id();
  answer.choice = messages::read_vote_choice(in);
  answer.confidence = in.number("confidence", messages::unit_range);
  answer.reason = in.text("reason", messages::free_text);
  answer.answered_by = "person";
  if (!in.ok()) return in.error();
  return answer;
}

base::result<messages::pattern_discovered> read_pattern(const object& body) {
  messages::reader in(body);
  messages::pattern_discovered pattern;
  pattern.pattern_type = in.id("pattern_type");
  pattern.pattern = messages::read_code_pattern(in);
  pattern.success_rate = in.number("success_rate", messages::unit_range);
  pattern.agent_type = in.id("agent_type");
  pattern.usage_count = in.optional_integer("usage_count", messages::usage_count_range);
  pattern.trace = messages::read_trace(body);
  if (!in.ok()) return in.error();
  return pattern;
}

/// The route takes the metrics without "metrics" around them.
std::vector<base::field_error> as_the_caller_sent_them(std::vector<base::field_error> fields) {
  constexpr std::string_view prefix = "metrics.";
  for (auto& each : fields)
    if (each.field.starts_with(prefix)) each.field.erase(0, prefix.size());
  return fields;
}

/// As the sample that they go out with is to have them.
metrics::measurement measurement_of(const object& body, const messages::metric_set& told) {
  metrics::measurement made;
  made.metrics = messages::encode_metrics(told);
  if (const auto trace = messages::read_trace(body)) made.told_traceparent = trace->str();
  return made;
}

template <class T>
base::result<void> outcome_of(const base::result<T>& read) {
  if (!read) return read.error();
  return {};
}

}  // namespace

std::string_view to_string(kind what) {
  for (const auto& [known, name] : names)
    if (known == what) return name;
  return "unknown";
}

std::optional<kind> parse_kind(std::string_view name) {
  for (const auto& [known, its_name] : names)
    if (its_name == name) return known;
  return std::nullopt;
}

base::result<object> applier::checked(kind what, object body) const {
  base::result<void> fits;
  switch (what) {
    case kind::proposal: {
      const auto read = proposals::parse_submission(body, with_.form);
      if (!read) return read.error();
      body["proposal_id"] = read->proposal_id.str();
      body["traceparent"] = read->trace.str();
      break;
    }
    case kind::proposal_metrics:
      fits = outcome_of(read_proposal_metrics(body));
      if (!fits) fits = base::invalid_fields(as_the_caller_sent_them(fits.error().fields));
      break;
    case kind::agent_metrics:
      fits = outcome_of(read_agent_metrics(body));
      break;
    case kind::vote:
      fits = outcome_of(read_vote(body));
      break;
    case kind::pattern:
      fits = outcome_of(read_pattern(body));
      break;
  }
  if (!fits) return fits.error();
  return body;
}

awaitable<object> applier::apply(postgres::transaction& in, kind what, object body) {
  switch (what) {
    case kind::proposal:
      return apply_proposal(in, std::move(body));
    case kind::proposal_metrics:
      return apply_proposal_metrics(in, std::move(body));
    case kind::agent_metrics:
      return apply_agent_metrics(in, std::move(body));
    case kind::vote:
      return apply_vote(in, std::move(body));
    case kind::pattern:
      break;
  }
  return apply_pattern(in, std::move(body));
}

awaitable<object> applier::apply_proposal(postgres::transaction& in, object body) {
  auto what = value_or_throw(proposals::parse_submission(body, with_.form));
  const auto id = what.proposal_id;
  auto answer = co_await with_.queue.submit(in, std::move(what));
  if (answer.outcome == proposals::submit_outcome::other) {
    fail(base::error_kind::conflict, fmt::format("proposal_id: there is a proposal '{}' with other content", id.str()));
  }
  if (answer.outcome == proposals::submit_outcome::full)
    fail(base::error_kind::unavailable, "too many proposals wait to be sent");
  object reply;
  for (const auto* name : {"proposal_id", "status", "priority_score"}) reply[name] = answer.proposal[name];
  co_return reply;
}

awaitable<object> applier::apply_proposal_metrics(postgres::transaction& in, object body) {
  const auto told = value_or_throw(read_proposal_metrics(body));
  const auto& id = told.proposal;
  auto what = measurement_of(body, told.metrics);
  const auto outcome = co_await with_.samples.report(in.on(), id, std::move(what));
  if (outcome == "unknown") fail(base::error_kind::not_found, fmt::format("there is no proposal '{}' here", id.str()));
  if (outcome != "recorded") {
    fail(base::error_kind::conflict,
         fmt::format("proposal '{}' is {}: no metrics of it are expected", id.str(), outcome));
  }
  object reply;
  reply["proposal_id"] = id.str();
  reply["accepted"] = told.metrics.size();
  co_return reply;
}

awaitable<object> applier::apply_agent_metrics(postgres::transaction& in, object body) {
  const auto told = value_or_throw(read_agent_metrics(body));
  auto what = measurement_of(body, told.metrics);
  co_await with_.samples.tell(in.on(), told.agent_type, std::move(what));
  object reply;
  reply["agent_type"] = told.agent_type;
  reply["accepted"] = told.metrics.size();
  co_return reply;
}

awaitable<object> applier::apply_vote(postgres::transaction& in, object body) {
  auto answer = value_or_throw(read_vote(body));
  object reply;
  reply["proposal_id"] = answer.proposal.str();
  reply["vote"] = messages::to_string(answer.choice);
  const auto cast = co_await with_.votes.vote(in, std::move(answer));
  value_or_throw(cast);
  co_return reply;
}

awaitable<object> applier::apply_pattern(postgres::transaction& in, object body) {
  auto pattern = value_or_throw(read_pattern(body));
  auto sent = co_await with_.send.report_pattern_to_aggregator(in, std::move(pattern));
  const auto id = value_or_throw(std::move(sent));
  object reply;
  reply["message_id"] = base::to_int(id);
  co_return reply;
}

void applier::wake(kind what) {
  if (what == kind::proposal) {
    with_.wake.dispatch.notify();
    with_.wake.step_taken();
  } else if (what == kind::proposal_metrics) {
    with_.wake.samples.notify();
  }
}

}  // namespace fleet::agent::intake
