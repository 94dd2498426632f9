#include "singularity_agent/execution/git_runner.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <string_view>

#include "common/base/text.hpp"
#include "singularity_agent/execution/child_process.hpp"

namespace fleet::agent::execution {
namespace {

/// A GIT_DIR or GIT_INDEX_FILE that was set where the agent was started would send every command elsewhere.
std::vector<std::string> without_inherited_settings() {
  std::vector<std::string> words;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!text.starts_with("GIT_")) continue;
    if (words.empty()) words.emplace_back("env");
    words.emplace_back("-u");
    words.emplace_back(text.substr(0, text.find('=')));
  }
  return words;
}

std::string subcommand(const git_call& call) {
  for (const auto& word : call.arguments)
    if (!word.starts_with('-')) return word;
  return {};
}

}  // namespace

git_runner::git_runner(git_runner_options options)
    : options_(std::move(options)), prefix_(without_inherited_settings()) {
  // With `env -u` in front, what is set here has to be set behind it.
  if (prefix_.empty()) prefix_.emplace_back("env");
  for (const auto* setting :
       {"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
        "GIT_LITERAL_PATHSPECS=1", "GIT_EDITOR=true", "GIT_PAGER=cat", "GIT_ATTR_NOSYSTEM=1", "LC_ALL=C"})
    prefix_.emplace_back(setting);
  for (const auto* role : {"AUTHOR", "COMMITTER"}) {
    prefix_.push_back(fmt::format("GIT_{}_NAME={}", role, options_.author_name));
    prefix_.push_back(fmt::format("GIT_{}_EMAIL={}", role, options_.author_email));
  }
}

boost::asio::awaitable<base::result<git_answer>> git_runner::run(git_call call) const {
  async::process_spec spec;
  spec.argv = prefix_;
  if (!call.index.empty()) spec.argv.push_back("GIT_INDEX_FILE=" + call.index.string());
  if (!call.work_tree.empty()) {
    spec.argv.push_back("GIT_WORK_TREE=" + call.work_tree.string());
    spec.argv.push_back("GIT_DIR=" + call.git_directory.string());
  }
  spec.argv.emplace_back("git");
  for (const auto* setting :
       {"core.hooksPath=/dev/null", "commit.gpgSign=false", "merge.verifySignatures=false", "log.showSignature=false",
        "core.fsmonitor=false", "core.quotePath=false", "core.fsync=committed,reference", "i18n.commitEncoding=UTF-8",
        "i18n.logOutputEncoding=UTF-8", "apply.ignoreWhitespace=no", "merge.autoStash=false", "submodule.recurse=false",
        "gc.auto=0", "maintenance.auto=false", "advice.detachedHead=false"}) {
    spec.argv.emplace_back("-c");
    spec.argv.emplace_back(setting);
  }
  spec.argv.insert(spec.argv.end(), call.arguments.begin(), call.arguments.end());
  spec.working_directory = (call.work_tree.empty() ? options_.repository : call.work_tree).string();
  spec.stdin_text = std::move(call.input);
  spec.timeout = options_.timeout;
  spec.max_output_bytes = call.max_output_bytes;
  const auto doing = "git " + subcommand(call);
  auto ended = co_await try_run(std::move(spec));
  if (!ended) co_return ended.error();
  if (ended->timed_out) co_return base::make_error(base::error_kind::timeout, doing + ": " + ended->describe());
  if (ended->exit_code < 0 || ended->output_truncated)
    co_return base::make_error(
        base::error_kind::unavailable,
        fmt::format("{}: {}", doing, ended->output_truncated ? "printed too much" : ended->describe()));
  git_answer answer;
  answer.exit_code = ended->exit_code;
  answer.output = std::move(ended->standard_output);
  answer.complaint = std::move(ended->standard_error);
  co_return answer;
}

boost::asio::awaitable<base::result<std::string>> git_runner::output(git_call call) const {
  const auto doing = subcommand(call);
  auto answer = co_await run(std::move(call));
  if (!answer) co_return answer.error();
  if (answer->exit_code != 0)
    co_return base::make_error(base::error_kind::internal,
                               fmt::format("git {} failed with exit code {}: {}", doing, answer->exit_code,
                                           base::tail_of(answer->complaint, 1000)));
  co_return std::move(answer->output);
}

boost::asio::awaitable<base::result<std::string>> git_runner::word(git_call call) const {
  auto text = co_await output(std::move(call));
  if (!text) co_return text.error();
  co_return std::string(base::trim(*text));
}

}  // namespace fleet::agent::execution
