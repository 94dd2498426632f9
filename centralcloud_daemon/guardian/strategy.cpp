#include "centralcloud_daemon/guardian/strategy.hpp"

#include <algorithm>

#include "common/base/decimal.hpp"

namespace fleet::central::guardian {
namespace {

rollback_strategy steps_for(std::string_view change_type) {
  if (change_type == "pattern_enhancement") return {{"revert_code", "clear_cache", "restart_agent"}, 15, false, {}, 0};
  if (change_type == "model_optimization") return {{"revert_model_config", "clear_cache"}, 5, false, {}, 0};
  if (change_type == "cache_improvement") return {{"revert_cache_config", "flush_cache"}, 10, false, {}, 0};
  if (change_type == "code_refactoring") return {{"git_revert", "restart_services"}, 30, true, {}, 0};
  return {{"revert_code", "restart_agent"}, 20, true, {}, 0};
}

}  // namespace

rollback_strategy strategy_for(std::string_view change_type, const rollback_record& record) {
  auto strategy = steps_for(change_type);
  if (record.ended > 0) {
    const auto succeeded = std::clamp<std::int64_t>(record.succeeded, 0, record.ended);
    strategy.success_rate = base::decimal::from_millionths(succeeded * base::decimal::scale / record.ended);
    strategy.learned_from_count = record.ended;
  }
  return strategy;
}

}  // namespace fleet::central::guardian
