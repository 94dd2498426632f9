#include "singularity_agent/execution/child_process.hpp"

#include <optional>

#include "common/base/text.hpp"

namespace fleet::agent::execution {

boost::asio::awaitable<base::result<async::process_result>> try_run(async::process_spec spec) {
  std::optional<base::error> failed;
  try {
    auto ended = co_await async::run_process(std::move(spec));
    co_return ended;
  } catch (const base::failure& e) {
    failed = base::make_error(base::error_kind::unavailable, e.get().message);
  }
  co_return *failed;
}

verification verification_of(const async::process_result& ended) {
  verification found;
  found.passed = ended.ok();
  found.timed_out = ended.timed_out;
  found.exit_code = ended.signal != 0 ? 128 + ended.signal : ended.exit_code;
  found.output_tail = base::tail_of(base::mask_secrets(ended.standard_output + ended.standard_error));
  found.duration = ended.duration;
  return found;
}

}  // namespace fleet::agent::execution
