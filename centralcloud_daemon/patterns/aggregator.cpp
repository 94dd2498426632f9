#include "centralcloud_daemon/patterns/aggregator.hpp"

#include <algorithm>
#include <utility>

#include "centralcloud_daemon/patterns/similarity.hpp"
#include "common/async/blocking_pool.hpp"

namespace fleet::central::patterns {
namespace {

/// How many known patterns of the type a new form is compared with; the most recently seen.
constexpr int max_candidates = 500;

/// What a pattern is compared by: what it puts in place, or, where it only removes, what it takes away.
const std::string& code_of(const messages::code_pattern& pattern) {
  return pattern.after.empty() ? pattern.before : pattern.after;
}

/// The part of the living fleet that reported it, 0-1.
base::decimal consensus_score(const recorded_pattern& recorded) {
  const auto fleet = std::max({recorded.live_instances, recorded.evidence.distinct_instances, std::int64_t{1}});
  return base::decimal::from_millionths(recorded.evidence.distinct_instances * base::decimal::scale / fleet);
}

/// Off the loop's thread: a code may have a million tokens.
boost::asio::awaitable<std::string> fingerprint_of(std::string pattern_type, std::string code) {
  auto compute = [type = std::move(pattern_type), code = std::move(code)] { return fingerprint(type, code); };
  co_return co_await async::run_blocking(std::move(compute));
}

}  // namespace

boost::asio::awaitable<quantumflow::outcome> aggregator::receive_report(postgres::transaction& open,
                                                                        messages::pattern_discovered report) {
  pattern_in_hand pattern;
  pattern.type = report.pattern_type;
  // Whoever reports by SQL, or with an older agent, has none.
  pattern.trace = report.trace ? *report.trace : base::trace_context::begin();
  pattern_report what;
  what.code = code_of(report.pattern);
  what.fingerprint = co_await fingerprint_of(pattern.type, what.code);
  what.pattern_id = co_await identify(open, pattern.type, what.fingerprint, what.code);
  what.message = std::move(report);
  pattern.id = what.pattern_id;
  auto recorded = co_await record_pattern(open, std::move(what));
  const auto evidence = recorded.evidence;
  if (recorded.state == pattern_state::observed && is_confirmed(settings_, evidence)) {
    co_await confirm(open, pattern, recorded);
    recorded.state = pattern_state::confirmed;
  }
  if (recorded.state == pattern_state::confirmed && is_promoted(settings_, evidence)) co_await promote(open, pattern);
  co_return quantumflow::outcome::done();
}

boost::asio::awaitable<std::string> aggregator::identify(postgres::transaction& open, std::string pattern_type,
                                                         std::string fingerprint, std::string code) {
  auto known = co_await find_pattern(open, fingerprint);
  if (known) co_return std::move(*known);
  std::optional<std::string> found;
  if (code.size() <= max_compared_bytes) {
    auto candidates = co_await pattern_candidates(open, std::move(pattern_type), max_candidates);
    auto compare = [settings = settings_, code = std::move(code), candidates = std::move(candidates)] {
      return pattern_of(settings, code, candidates);
    };
    found = co_await async::run_blocking(std::move(compare));
  }
  co_return std::move(found).value_or(std::move(fingerprint));  // a new pattern is named by its first form
}

boost::asio::awaitable<void> aggregator::confirm(postgres::transaction& open, pattern_in_hand what,
                                                 recorded_pattern recorded) {
  const auto score = consensus_score(recorded);
  const bool first = co_await confirm_pattern(open, what.id, score);
  if (!first) co_return;
  messages::consensus_pattern message;
  message.pattern_id = what.id;
  message.pattern_type = std::move(what.type);
  message.trace = what.trace.child();
  message.success_rate = mean_success_rate(recorded.evidence);
  message.consensus_score = score;
  message.usage_count = recorded.evidence.usage_count;
  message.pattern = std::move(recorded.pattern);
  message.source_instances = std::move(recorded.sources);
  or_throw(co_await out_.send_consensus_pattern(open, std::move(message)));
  log_.info("pattern_confirmed", "several instances confirm a pattern",
            {{"pattern_id", what.id}, {"trace_id", what.trace.trace_id}});
}

boost::asio::awaitable<void> aggregator::promote(postgres::transaction& open, pattern_in_hand what) {
  const bool first = co_await promote_pattern(open, what.id);
  if (!first) co_return;
  messages::learning_loop_completed message;
  message.patterns_processed = 1;
  message.rules_generated = 1;
  message.trace = what.trace.child();
  or_throw(co_await out_.send_learning_loop_completed(open, message));
  log_.info("pattern_promoted", "a confirmed pattern is used widely",
            {{"pattern_id", what.id}, {"trace_id", what.trace.trace_id}});
}

}  // namespace fleet::central::patterns
