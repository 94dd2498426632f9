#include "common/messages/consensus_pattern.hpp"

#include <boost/json/array.hpp>

#include "common/messages/trace.hpp"

namespace fleet::messages {
namespace {

constexpr number_range consensus_score_range{base::decimal::from_int(0), base::decimal::from_int(10)};

}  // namespace

base::result<consensus_pattern> consensus_pattern::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  consensus_pattern out;
  out.pattern_id = in.id("pattern_id");
  out.pattern_type = in.id("pattern_type");
  out.pattern = read_code_pattern(in);
  out.success_rate = in.number("success_rate", unit_range);
  out.consensus_score = in.number("consensus_score", consensus_score_range);
  out.source_instances = in.ids("source_instances", 10'000);
  out.usage_count = in.integer("usage_count");
  out.timestamp = in.time("timestamp");
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object consensus_pattern::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("pattern_id", pattern_id);
  object.emplace("pattern_type", pattern_type);
  object.emplace("code_pattern", pattern.encode());
  object.emplace("success_rate", to_json(success_rate));
  object.emplace("consensus_score", to_json(consensus_score));
  object.emplace("source_instances", boost::json::array(source_instances.begin(), source_instances.end()));
  object.emplace("usage_count", usage_count);
  object.emplace("timestamp", to_json(timestamp));
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
