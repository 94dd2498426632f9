#include "singularity_agent/execution/git_checks.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "common/base/text.hpp"
#include "singularity_agent/execution/child_process.hpp"
#include "singularity_agent/execution/git_marks.hpp"
#include "singularity_agent/execution/git_runner.hpp"
#include "singularity_agent/execution/git_text.hpp"
#include "singularity_agent/execution/live_git.hpp"

namespace fleet::agent::execution {
namespace {

using base::finding;
using boost::asio::awaitable;
namespace fs = std::filesystem;

constexpr std::chrono::milliseconds git_limit{10'000};

struct opened {
  git_runner git;
  fs::path root;
  fs::path git_directory;
};

git_call call_of(std::vector<std::string> arguments) {
  git_call call;
  call.arguments = std::move(arguments);
  return call;
}

std::string advice_for(const std::string& complaint, const fs::path& root) {
  if (complaint.find("dubious ownership") != std::string::npos)
    return fmt::format("chown -R the agent's user {}: git refuses what belongs to somebody else", root.string());
  return fmt::format("git init {}, or name another with executor.repository", root.string());
}

/// Where a commit would be refused by the file system: the first such place, or nothing.
std::string unwritable(const opened& at) {
  for (const auto& place :
       {at.root, at.git_directory, at.git_directory / "objects", at.git_directory / "refs" / "heads"}) {
    std::error_code ec;
    if (fs::exists(place, ec) && ::access(place.c_str(), W_OK) != 0) return place.string();
  }
  return {};
}

awaitable<finding> check_repository(opened& at) {
  std::error_code ec;
  const auto real = fs::canonical(at.root, ec);
  const auto name = at.root.string();
  if (ec) co_return base::failed("repository", name + ": " + ec.message(), "make it, or mend executor.repository");
  auto where = call_of({"rev-parse", "--show-toplevel", "--absolute-git-dir"});
  const auto answer = co_await at.git.run(where);
  if (!answer) co_return base::failed("repository", answer.error().message, "is git installed?");
  const auto lines = base::split(answer->output, '\n');
  if (answer->exit_code != 0 || lines.size() < 2)
    co_return base::failed("repository",
                           fmt::format("{} is no git work tree: {}", name, base::tail_of(answer->complaint, 300)),
                           advice_for(answer->complaint, at.root));
  if (fs::path(lines[0]) != real)
    co_return base::failed("repository", fmt::format("{} is not the top of its work tree, which is {}", name, lines[0]),
                           "name the top: a commit takes in all of it");
  at.git_directory = lines[1];
  auto newest = call_of({"log", "-1", "--format=%h %s"});
  const auto commit = co_await at.git.run(newest);
  if (!commit || commit->exit_code != 0)
    co_return base::failed("repository", name + " has no commit yet", "commit what is there: a change needs a parent");
  if (const auto place = unwritable(at); !place.empty())
    co_return base::failed("repository", fmt::format("{} cannot be written by this user", place),
                           "let the agent's user own the repository; under systemd also ReadWritePaths= in a drop-in");
  co_return base::passed("repository", fmt::format("{} at {}", name, base::trim(commit->output)));
}

awaitable<finding> check_branch(const opened& at, const std::string& wanted) {
  auto which = call_of({"symbolic-ref", "--quiet", "--short", "HEAD"});
  const auto answer = co_await at.git.run(which);
  if (!answer) co_return base::failed("branch", answer.error().message, "");
  const auto found = answer->exit_code == 0 ? std::string(base::trim(answer->output)) : std::string();
  if (wanted.empty() || wanted == found)
    co_return base::passed("branch", found.empty() ? "none is checked out (a bare commit)" : found);
  co_return base::failed(
      "branch", fmt::format("{} is checked out, executor.branch says {}", found.empty() ? "no branch" : found, wanted),
      fmt::format("git -C {} checkout {}; until then no change is applied", at.root.string(), wanted));
}

std::string half_done(const fs::path& git_directory) {
  constexpr std::array<const char*, 6> traces{"MERGE_HEAD",       "rebase-merge", "rebase-apply",
                                              "CHERRY_PICK_HEAD", "REVERT_HEAD",  "BISECT_LOG"};
  for (const auto* trace : traces) {
    std::error_code ec;
    if (fs::exists(git_directory / trace, ec)) return trace;
  }
  return {};
}

awaitable<finding> check_work_tree(const opened& at) {
  const auto root = at.root.string();
  if (const auto trace = half_done(at.git_directory); !trace.empty())
    co_return base::failed("work tree", fmt::format("somebody's merge or rebase is under way ({})", trace),
                           fmt::format("finish or abort it in {}", root));
  std::error_code ec;
  if (fs::exists(at.git_directory / "index.lock", ec) && !git_is_at_work(at.root, at.git_directory))
    co_return base::warned("work tree", "a git that ended has left index.lock behind",
                           "the agent removes its own; remove another user's by hand");
  auto status =
      call_of({"status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty"});
  const auto answer = co_await at.git.output(status);
  if (!answer) co_return base::failed("work tree", answer.error().message, "");
  const auto dirty = parse_status(*answer);
  if (dirty.empty()) co_return base::passed("work tree", "clean");
  co_return base::warned(
      "work tree", fmt::format("{} files hold what no commit has, the first is {}", dirty.size(), dirty.front()),
      fmt::format("commit or restore them in {}: a change that touches one of them is refused", root));
}

awaitable<finding> check_marks(const opened& at) {
  auto list = call_of({"for-each-ref", "--format=%(refname)", std::string(mark_prefix)});
  const auto answer = co_await at.git.output(list);
  if (!answer) co_return base::failed("marks", answer.error().message, "");
  const std::string names(base::trim(*answer));
  if (names.empty()) co_return base::passed("marks", "no move of the work tree was interrupted");
  co_return base::warned("marks", fmt::format("a move of the work tree is under way or was interrupted: {}", names),
                         "the agent mends it when it starts; look again when it is ready");
}

}  // namespace

boost::asio::awaitable<std::vector<finding>> examine_repository(repository_checks what) {
  git_runner_options options;
  options.repository = what.repository;
  options.author_name = "doctor";
  options.author_email = "doctor@localhost";
  options.timeout = git_limit;
  opened at{git_runner(std::move(options)), what.repository, {}};
  std::vector<finding> all;
  auto found = co_await check_repository(at);
  const bool sound = !at.git_directory.empty();
  all.push_back(std::move(found));
  if (!sound) co_return all;
  auto branch = co_await check_branch(at, what.branch);
  all.push_back(std::move(branch));
  auto tree = co_await check_work_tree(at);
  all.push_back(std::move(tree));
  auto marks = co_await check_marks(at);
  all.push_back(std::move(marks));
  co_return all;
}

}  // namespace fleet::agent::execution
