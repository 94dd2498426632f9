#include "singularity_agent/execution/git_repository.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <system_error>

#include "common/base/text.hpp"
#include "singularity_agent/execution/child_process.hpp"
#include "singularity_agent/execution/git_marks.hpp"
#include "singularity_agent/execution/path_guard.hpp"

namespace fleet::agent::execution {

namespace asio = boost::asio;
namespace fs = std::filesystem;

git_repository::git_repository(asio::any_io_executor io, git_runner runner, std::chrono::milliseconds foreign_timeout)
    : io_(std::move(io)), git_(std::move(runner)), foreign_timeout_(foreign_timeout) {}

git_repository::claim::~claim() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

asio::awaitable<base::result<git_repository::claim>> git_repository::enter(std::vector<std::string>& mended) {
  if (git_directory_.empty()) {
    auto located = co_await locate();
    if (!located) co_return located.error();
  }
  auto claimed = co_await take_claim();
  if (!claimed) co_return claimed.error();
  auto sound = co_await mend(mended);
  if (!sound) co_return sound.error();
  co_return std::move(*claimed);
}

asio::awaitable<base::result<void>> git_repository::locate() {
  const auto refuse = [this](std::string why) {
    return base::make_error(base::error_kind::refused, fmt::format("executor.repository {}: {}", root().string(), why));
  };
  std::error_code ec;
  const auto real = fs::canonical(root(), ec);
  if (ec) co_return refuse(ec.message());
  git_call where;
  where.arguments = {"rev-parse", "--show-toplevel", "--absolute-git-dir"};
  auto answer = co_await git_.run(where);
  if (!answer) co_return answer.error();
  const auto lines = base::split(answer->output, '\n');
  if (answer->exit_code != 0 || lines.size() < 2)
    co_return refuse("is no git work tree: " + base::tail_of(answer->complaint, 500));
  // In a directory inside somebody's larger repository a commit would take in what the operator never meant to hand
  // over.
  if (fs::path(lines[0]) != real) co_return refuse("is not the top of its work tree, which is " + lines[0]);
  auto at = co_await resolve("HEAD");
  if (!at) co_return at.error();
  if (!*at) co_return refuse("has no commit yet");
  git_directory_ = lines[1];
  co_return base::result<void>();
}

asio::awaitable<base::result<git_repository::claim>> git_repository::take_claim() const {
  const auto path = git_directory_ / "singularity_agent.lock";
  claim taken(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  const int descriptor = taken.descriptor();
  if (descriptor < 0)
    co_return base::make_error(base::error_kind::unavailable, fmt::format("cannot open {}: {}", path.string(),
                                                                          std::generic_category().message(errno)));
  const auto until = std::chrono::steady_clock::now() + foreign_timeout_;
  asio::steady_timer pause(io_);
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= until)
      co_return base::make_error(base::error_kind::unavailable,
                                 fmt::format("another agent works in {}", root().string()));
    pause.expires_after(std::chrono::milliseconds(10));
    co_await pause.async_wait(asio::use_awaitable);
  }
  co_return std::move(taken);
}

asio::awaitable<base::result<void>> git_repository::check_ready(std::string branch) const {
  static constexpr std::array<std::pair<const char*, const char*>, 6> traces{{{"MERGE_HEAD", "merge"},
                                                                              {"rebase-merge", "rebase"},
                                                                              {"rebase-apply", "rebase"},
                                                                              {"CHERRY_PICK_HEAD", "cherry-pick"},
                                                                              {"REVERT_HEAD", "revert"},
                                                                              {"BISECT_LOG", "bisect"}}};
  for (const auto& [file, name] : traces) {
    std::error_code ec;
    if (fs::exists(git_directory_ / file, ec))
      co_return base::make_error(base::error_kind::conflict,
                                 fmt::format("a {} is under way in {}", name, root().string()));
  }
  if (branch.empty()) co_return base::result<void>();
  git_call which;
  which.arguments = {"symbolic-ref", "--quiet", "HEAD"};
  auto answer = co_await git_.run(which);
  if (!answer) co_return answer.error();
  if (base::trim(answer->output) == "refs/heads/" + branch) co_return base::result<void>();
  const auto found = answer->exit_code == 0 ? std::string(base::trim(answer->output)) : std::string("no branch");
  co_return base::make_error(base::error_kind::conflict,
                             fmt::format("{} is checked out in {}, not {}", found, root().string(), branch));
}

asio::awaitable<base::result<std::string>> git_repository::head() const {
  git_call call;
  call.arguments = {"rev-parse", "--verify", "HEAD^{commit}"};
  return git_.word(call);
}

asio::awaitable<base::result<std::optional<std::string>>> git_repository::resolve(std::string commit) const {
  git_call call;
  call.arguments = {"rev-parse", "--verify", "--quiet", "--end-of-options", commit + "^{commit}"};
  auto answer = co_await git_.run(call);
  if (!answer) co_return answer.error();
  std::optional<std::string> found;
  if (answer->exit_code == 0) found.emplace(base::trim(answer->output));
  co_return found;
}

asio::awaitable<base::result<std::vector<std::string>>> git_repository::dirty_paths() const {
  git_call call;
  call.arguments = {"status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty"};
  auto output = co_await git_.output(call);
  if (!output) co_return output.error();
  co_return parse_status(*output);
}

asio::awaitable<base::result<proposal_marks>> git_repository::find_marks(base::proposal_id proposal) const {
  // --grep only narrows the search (it also finds the words in a message's text); the parsed trailers decide.
  git_call call;
  call.arguments = {"log",
                    "-z",
                    "--fixed-strings",
                    "--grep=Proposal-Id: " + proposal.str(),
                    fmt::format("--format={}", trailer_log_format),
                    "HEAD"};
  auto output = co_await git_.output(call);
  if (!output) co_return output.error();
  auto commits = parse_trailer_log(*output);
  if (!commits) co_return commits.error();
  proposal_marks marks;
  for (auto& commit : *commits) {
    const auto names = [&proposal](const std::vector<std::string>& values) {
      return std::find(values.begin(), values.end(), proposal.str()) != values.end();
    };
    if (!marks.applied && names(commit.proposals)) marks.applied = commit;
    if (!marks.reverted && names(commit.reverts)) marks.reverted = commit;
  }
  co_return marks;
}

asio::awaitable<base::result<std::vector<changed_path>>> git_repository::changes(std::string from,
                                                                                 std::string to) const {
  git_call call;
  call.arguments = {"diff-tree", "-r", "--raw", "-z", "--no-renames", "--full-index", "--no-abbrev", from, to};
  auto output = co_await git_.output(call);
  if (!output) co_return output.error();
  co_return parse_raw_diff(*output);
}

asio::awaitable<base::result<std::string>> git_repository::diffstat(std::string from, std::string to) const {
  git_call call;
  call.arguments = {"diff-tree", "-r", "--shortstat", from, to};
  return git_.word(call);
}

asio::awaitable<base::result<void>> git_repository::check_free(std::string from, std::string to) const {
  auto paths = co_await changes(from, to);
  if (!paths) co_return paths.error();
  auto dirty = co_await dirty_paths();
  if (!dirty) co_return dirty.error();
  std::vector<std::string> in_the_way;
  for (const auto& changed : *paths) {
    const auto inside = check_no_link_on_the_way(root(), changed.path);
    if (!inside) co_return inside.error();
    std::error_code ec;
    const auto status = fs::symlink_status(root() / changed.path, ec);
    // An ignored file, too: git would overwrite that without a word.
    const bool untracked = changed.added() && fs::exists(status) && status.type() != fs::file_type::directory;
    if (untracked || std::find(dirty->begin(), dirty->end(), changed.path) != dirty->end())
      in_the_way.push_back(changed.path);
  }
  if (in_the_way.empty()) co_return base::result<void>();
  co_return base::make_error(base::error_kind::conflict,
                             "repository_dirty: these files hold what no commit has: " + list_some(in_the_way));
}

asio::awaitable<base::result<void>> git_repository::move_forward(std::string commit) {
  auto free = co_await check_free(commit + "^1", commit);
  if (!free) co_return free.error();
  git_call how;
  how.arguments = {"merge", "--ff-only", "--no-overwrite-ignore", "--no-stat", "--quiet", commit};
  auto moved = co_await move_marked(std::string(forward_mark), commit, how);
  co_return moved;
}

asio::awaitable<base::result<void>> git_repository::move_back(std::string commit) {
  auto free = co_await check_free(commit, commit + "^1");
  if (!free) co_return free.error();
  git_call how;
  how.arguments = {"reset", "--keep", "--quiet", commit + "^1"};
  auto moved = co_await move_marked(std::string(back_mark), commit, how);
  co_return moved;
}

/// The mark says, to whoever comes after a crash, which move was under way; it also keeps the commit from being pruned.
asio::awaitable<base::result<void>> git_repository::move_marked(std::string mark, std::string commit, git_call how) {
  const auto to = how.arguments.back();
  git_call set_mark;
  set_mark.arguments = {"update-ref", mark, commit};
  auto marked = co_await git_.output(set_mark);
  if (!marked) co_return marked.error();
  auto answer = co_await git_.run(how);
  base::result<void> done;
  if (!answer) {
    done = answer.error();
  } else if (answer->exit_code != 0) {
    done = base::make_error(base::error_kind::conflict,
                            fmt::format("git did not move the work tree: {}", base::tail_of(answer->complaint, 1000)));
  } else {
    done = co_await forget(mark);
  }
  if (done) co_return done;
  // A move that stopped half-way (no space, no time) is taken back at once; one that was refused has changed nothing;
  // and one whose git was ended before it could say so, or whose mark did not go away, is done.
  auto failed = done.error();
  std::vector<std::string> mended;
  auto sound = co_await mend(mended);
  if (!sound) {
    failed.kind = sound.error().kind;  // "refused, and nothing was changed" cannot be said any more
    failed.message += "; then: " + sound.error().message;
    co_return failed;
  }
  auto there = co_await resolve(to);
  auto at = co_await head();
  if (there && at && *there == *at) co_return base::result<void>();
  co_return failed;
}

}  // namespace fleet::agent::execution
