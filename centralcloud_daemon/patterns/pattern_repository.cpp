#include "centralcloud_daemon/patterns/pattern_repository.hpp"

#include <string_view>

#include "common/messages/reader.hpp"

namespace fleet::central::patterns {
namespace {

pattern_state read_state(std::string_view word) {
  if (word == "promoted") return pattern_state::promoted;
  if (word == "confirmed") return pattern_state::confirmed;
  return pattern_state::observed;
}

boost::asio::awaitable<bool> step_pattern(postgres::transaction& open, std::string pattern_id, std::string state,
                                          std::optional<base::decimal> score) {
  auto args = postgres::make_params(pattern_id, state, score);
  const auto answer = co_await open.query("select centralcloud.step_pattern($1, $2, $3) as stepped", std::move(args));
  co_return answer.single().get<bool>("stepped");
}

}  // namespace

boost::asio::awaitable<std::optional<std::string>> find_pattern(postgres::transaction& open, std::string fingerprint) {
  auto args = postgres::make_params(fingerprint);
  const auto answer = co_await open.query("select centralcloud.find_pattern($1) as pattern_id", std::move(args));
  co_return answer.single().get<std::optional<std::string>>("pattern_id");
}

boost::asio::awaitable<std::vector<known_pattern>> pattern_candidates(postgres::transaction& open,
                                                                      std::string pattern_type, int max) {
  auto args = postgres::make_params(pattern_type, static_cast<std::int64_t>(max_compared_bytes), max);
  const auto answer =
      co_await open.query("select pattern_id, code from centralcloud.pattern_candidates($1, $2, $3)", std::move(args));
  std::vector<known_pattern> found;
  for (const auto& row : answer) {
    known_pattern one;
    one.pattern_id = row.get<std::string>("pattern_id");
    one.code = row.get<std::string>("code");
    found.push_back(std::move(one));
  }
  co_return found;
}

boost::asio::awaitable<recorded_pattern> record_pattern(postgres::transaction& open, pattern_report what) {
  const auto& message = what.message;
  auto args = postgres::make_params(what.pattern_id, what.fingerprint, message.pattern_type, message.pattern.encode(),
                                    what.code, message.instance_id, message.agent_type, message.success_rate,
                                    message.usage_count, message.timestamp);
  const auto answer = co_await open.query(
      "select * from centralcloud.record_pattern($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", std::move(args));
  const auto row = answer.single();
  recorded_pattern recorded;
  recorded.state = read_state(row.text("state"));
  recorded.evidence.distinct_instances = row.get<std::int64_t>("distinct_instances");
  recorded.evidence.reports = recorded.evidence.distinct_instances;
  recorded.evidence.success_rate_sum = row.get<base::decimal>("success_rate_sum");
  recorded.evidence.usage_count = row.get<std::int64_t>("total_usage");
  const auto sources = row.get<boost::json::value>("sources");
  for (const auto& source : sources.as_array()) recorded.sources.emplace_back(source.as_string());
  recorded.live_instances = row.get<std::int64_t>("live_instances");
  const auto pattern = row.get<boost::json::object>("first_code_pattern");
  recorded.pattern = messages::code_pattern::read(messages::reader(pattern));
  co_return recorded;
}

boost::asio::awaitable<bool> confirm_pattern(postgres::transaction& open, std::string pattern_id, base::decimal score) {
  return step_pattern(open, std::move(pattern_id), "confirmed", score);
}

boost::asio::awaitable<bool> promote_pattern(postgres::transaction& open, std::string pattern_id) {
  return step_pattern(open, std::move(pattern_id), "promoted", std::nullopt);
}

}  // namespace fleet::central::patterns
