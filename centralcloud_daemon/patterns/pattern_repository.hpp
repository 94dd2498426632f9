// The SQL of patterns: calls of functions in the schema `centralcloud`, and nothing else.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "centralcloud_daemon/patterns/pattern_rules.hpp"
#include "common/base/decimal.hpp"
#include "common/messages/code_pattern.hpp"
#include "common/messages/pattern_discovered.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::central::patterns {

/// All throw `postgres::sql_error`, and work inside the given transaction.

/// The pattern that this normal form was found to be, if any.
boost::asio::awaitable<std::optional<std::string>> find_pattern(postgres::transaction& open, std::string fingerprint);

/// Patterns of the type whose code is short enough to be compared, most recently seen first.
boost::asio::awaitable<std::vector<known_pattern>> pattern_candidates(postgres::transaction& open,
                                                                      std::string pattern_type, int max);

struct pattern_report {
  std::string pattern_id;
  std::string fingerprint;
  std::string code;
  messages::pattern_discovered message;
};
enum class pattern_state { observed, confirmed, promoted };
struct recorded_pattern {
  pattern_state state = pattern_state::observed;
  pattern_evidence evidence;  ///< of each instance its latest report; usage: the highest it told
  std::vector<std::string> sources;
  std::int64_t live_instances = 0;
  messages::code_pattern pattern;  ///< as it was reported first
};
boost::asio::awaitable<recorded_pattern> record_pattern(postgres::transaction& open, pattern_report what);

/// False where it is there already.
boost::asio::awaitable<bool> confirm_pattern(postgres::transaction& open, std::string pattern_id, base::decimal score);
boost::asio::awaitable<bool> promote_pattern(postgres::transaction& open, std::string pattern_id);

}  // namespace fleet::central::patterns
