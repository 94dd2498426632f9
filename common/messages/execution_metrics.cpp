#include "common/messages/execution_metrics.hpp"

#include <array>

#include "common/messages/trace.hpp"

namespace fleet::messages {
namespace {

constexpr std::array<named_value<execution_status>, 6> statuses{
    {{"executing", execution_status::executing},
     {"applied", execution_status::applied},
     {"monitoring", execution_status::monitoring},
     {"failed", execution_status::failed},
     {"rolled_back", execution_status::rolled_back},
     {"rollback_failed", execution_status::rollback_failed}}};

}  // namespace

std::string_view to_string(execution_status value) {
  return name_of<execution_status>(statuses, value);
}

base::result<execution_metrics> execution_metrics::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  execution_metrics out;
  out.proposal_id = in.proposal_id();
  out.instance_id = in.instance_id();
  out.agent_type = in.id("agent_type");
  out.metrics_before = read_metrics(in, "metrics_before");
  out.metrics_after = read_metrics(in, "metrics_after");
  out.status = in.choice<execution_status>("status", statuses);
  out.timestamp = in.time("timestamp");
  out.trace = read_trace(message);
  out.told_trace = read_trace(message, told_trace_field);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object execution_metrics::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("proposal_id", proposal_id.str());
  object.emplace("instance_id", instance_id.str());
  object.emplace("agent_type", agent_type);
  object.emplace("metrics_before", encode_metrics(metrics_before));
  object.emplace("metrics_after", encode_metrics(metrics_after));
  object.emplace("status", to_string(status));
  object.emplace("timestamp", to_json(timestamp));
  add_trace(object, trace);
  add_trace(object, told_trace, told_trace_field);
  return object;
}

}  // namespace fleet::messages
