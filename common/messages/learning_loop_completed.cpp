#include "common/messages/learning_loop_completed.hpp"

#include "common/messages/reader.hpp"
#include "common/messages/trace.hpp"

namespace fleet::messages {

base::result<learning_loop_completed> learning_loop_completed::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  learning_loop_completed out;
  out.patterns_processed = in.integer("patterns_processed");
  out.rules_generated = in.integer("rules_generated");
  out.thresholds_updated = in.integer("thresholds_updated");
  out.timestamp = in.time("timestamp");
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object learning_loop_completed::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("patterns_processed", patterns_processed);
  object.emplace("rules_generated", rules_generated);
  object.emplace("thresholds_updated", thresholds_updated);
  object.emplace("timestamp", to_json(timestamp));
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
