#include "singularity_agent/execution/command_executor.hpp"

#include <fmt/format.h>

#include "common/base/json.hpp"
#include "singularity_agent/execution/child_process.hpp"

namespace fleet::agent::execution {

namespace asio = boost::asio;

namespace {

/// What the command says itself with its exit status is believed; a shell reports a signal as 128 + its number, ssh a
/// lost connection as 255: then nobody has said how far it got.
base::error failed(const char* action, const async::process_result& ended) {
  const auto cut_off = ended.signal != 0 || ended.exit_code > 128;
  const auto kind = ended.timed_out ? base::error_kind::timeout
                    : ended.stopped ? base::error_kind::cancelled
                    : cut_off       ? base::error_kind::unavailable
                                    : base::error_kind::conflict;
  return base::make_error(kind, fmt::format("the command failed to {}: {}", action, ended.failure()));
}

}  // namespace

command_executor::command_executor(asio::any_io_executor io, command_executor_options options)
    : options_(std::move(options)), lock_(std::move(io)) {}

asio::awaitable<base::result<async::process_result>> command_executor::call(lane where, std::string action,
                                                                            base::proposal_id proposal,
                                                                            std::string input) {
  auto turn = co_await lock_.acquire(where, options_.lock_timeout);
  if (!turn) co_return turn.error();
  async::process_spec spec;
  spec.shell_command = options_.command;
  spec.working_directory = options_.working_directory.string();
  spec.environment["ACTION"] = action;
  spec.environment["PROPOSAL_ID"] = proposal.str();
  spec.environment["INSTANCE_ID"] = options_.instance;
  spec.stdin_text = std::move(input);
  spec.timeout = options_.timeout;
  auto ended = co_await try_run(std::move(spec));
  co_return ended;
}

asio::awaitable<base::result<std::vector<std::string>>> command_executor::recover() {
  co_return std::vector<std::string>();
}

asio::awaitable<base::result<applied_change>> command_executor::apply(change_order what) {
  auto input = base::write_json(what.code_change);
  auto ended = co_await call(lane::usual, "apply", what.proposal, std::move(input));
  if (!ended) co_return ended.error();
  if (!ended->ok()) co_return failed("apply", *ended);
  applied_change done;
  done.duration = ended->duration;
  co_return done;
}

asio::awaitable<base::result<verification>> command_executor::verify(base::proposal_id proposal) {
  auto ended = co_await call(lane::usual, "verify", std::move(proposal), "{}");
  if (!ended) co_return ended.error();
  co_return verification_of(*ended);
}

asio::awaitable<base::result<reverted_change>> command_executor::undo(base::proposal_id proposal, applied_change) {
  auto done = co_await revert(std::move(proposal));
  co_return done;
}

asio::awaitable<base::result<reverted_change>> command_executor::revert(base::proposal_id proposal) {
  auto ended = co_await call(lane::urgent, "revert", std::move(proposal), "{}");
  if (!ended) co_return ended.error();
  if (!ended->ok()) co_return failed("revert", *ended);
  reverted_change done;
  done.duration = ended->duration;
  co_return done;
}

}  // namespace fleet::agent::execution
