// The part of git_repository that puts right what a process that died left behind.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fstream>
#include <map>
#include <system_error>

#include "common/base/text.hpp"
#include "singularity_agent/execution/git_marks.hpp"
#include "singularity_agent/execution/git_repository.hpp"
#include "singularity_agent/execution/live_git.hpp"
#include "singularity_agent/execution/path_guard.hpp"

namespace fleet::agent::execution {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

/// Whether the file's bytes are the beginning of `content`: a file that git was still writing. An empty one is, too.
bool is_beginning_of(const fs::path& file, const std::string& content) {
  std::error_code ec;
  const auto size = fs::file_size(file, ec);
  if (ec || size > content.size()) return false;
  std::ifstream in(file, std::ios::binary);
  std::string bytes(static_cast<std::size_t>(size), '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return static_cast<std::size_t>(in.gcount()) == bytes.size() && content.starts_with(bytes);
}

void remove_file(const fs::path& root, const fs::path& relative) {
  std::error_code ec;
  const auto status = fs::symlink_status(root / relative, ec);
  if (ec || status.type() == fs::file_type::directory) return;
  fs::remove(root / relative, ec);
  // Directories that held nothing else go as they came; remove() takes no directory that is not empty.
  for (auto directory = relative.parent_path(); !directory.empty(); directory = directory.parent_path())
    if (!fs::remove(root / directory, ec)) break;
}

}  // namespace

asio::awaitable<base::result<void>> git_repository::forget(std::string mark) const {
  git_call call;
  call.arguments = {"update-ref", "-d", mark};
  auto done = co_await git_.output(call);
  if (!done) co_return done.error();
  co_return base::result<void>();
}

asio::awaitable<base::result<std::vector<std::pair<std::string, std::string>>>> git_repository::marks() const {
  git_call call;
  call.arguments = {"for-each-ref", "--format=%(refname) %(objectname)", std::string(mark_prefix)};
  auto listed = co_await git_.output(call);
  if (!listed) co_return listed.error();
  std::vector<std::pair<std::string, std::string>> found;
  for (const auto& line : base::split(base::trim(*listed), '\n')) {
    const auto space = line.find(' ');
    if (space != std::string::npos) found.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  co_return found;
}

asio::awaitable<base::result<bool>> git_repository::is_moving() const {
  auto found = co_await marks();
  if (!found) co_return found.error();
  co_return !found->empty();
}

/// A git process can outlive the agent that started it, and move the work tree while this one looks at it. So the first
/// call, and each that finds a mark, waits until none is at work here.
asio::awaitable<base::result<void>> git_repository::mend(std::vector<std::string>& mended) {
  if (!settled_) co_await wait_for_other_git();
  auto found = co_await marks();
  if (!found) co_return found.error();
  if (settled_ && !found->empty()) {
    co_await wait_for_other_git();
    found = co_await marks();
    if (!found) co_return found.error();
  }
  settled_ = true;
  auto free = co_await clear_locks(!found->empty(), mended);
  if (!free) co_return free.error();
  for (const auto& [mark, commit] : *found) {
    auto sound = co_await mend_move(mark, commit, mended);
    if (!sound) co_return sound.error();
  }
  co_return base::result<void>();
}

asio::awaitable<void> git_repository::wait_for_other_git() const {
  const auto until = std::chrono::steady_clock::now() + foreign_timeout_;
  asio::steady_timer pause(io_);
  while (git_is_at_work(root(), git_directory_) && std::chrono::steady_clock::now() < until) {
    pause.expires_after(std::chrono::milliseconds(20));
    co_await pause.async_wait(asio::use_awaitable);
  }
}

/// Removes lock files that no process holds. Without a mark, nothing of ours was under way but the writing of a mark:
/// the locks of index, HEAD and branch are somebody else's then, and the caller gets an error once they have not gone
/// away in time. With one they are ours, unless a git process is still at work here (a child that outlived the agent).
asio::awaitable<base::result<void>> git_repository::clear_locks(bool all, std::vector<std::string>& mended) {
  std::vector<fs::path> ours{git_directory_ / (std::string(forward_mark) + ".lock"),
                             git_directory_ / (std::string(back_mark) + ".lock")};
  std::vector<fs::path> shared{git_directory_ / "index.lock", git_directory_ / "HEAD.lock",
                               git_directory_ / "ORIG_HEAD.lock"};
  git_call branch_call;
  branch_call.arguments = {"symbolic-ref", "--quiet", "HEAD"};
  if (all) {
    auto branch = co_await git_.run(branch_call);
    if (!branch) co_return branch.error();
    git_call path_call;
    path_call.arguments = {"rev-parse", "--path-format=absolute", "--git-path",
                           std::string(base::trim(branch->output)) + ".lock"};
    if (branch->exit_code == 0) {
      auto path = co_await git_.word(path_call);
      if (!path) co_return path.error();
      shared.emplace_back(*path);
    }
  }
  const auto first_present = [](const std::vector<fs::path>& files) {
    std::error_code ec;
    for (const auto& file : files)
      if (fs::exists(fs::symlink_status(file, ec))) return file;
    return fs::path();
  };
  if (first_present(ours).empty() && first_present(shared).empty()) co_return base::result<void>();
  co_await wait_for_other_git();
  const bool at_work = git_is_at_work(root(), git_directory_);
  if (!at_work && all) ours.insert(ours.end(), shared.begin(), shared.end());
  for (const auto& file : ours) {
    std::error_code ec;
    if (!at_work && owned_by_us(file) && fs::remove(file, ec))
      mended.push_back(fmt::format("removed the lock file {} of an operation that died", file.string()));
  }
  const auto left = first_present(shared);
  const auto own_left = first_present(ours);
  if (left.empty() && own_left.empty()) co_return base::result<void>();
  co_return base::make_error(
      base::error_kind::unavailable,
      fmt::format("{} exists: another process works in the repository, or one died there; remove "
                  "the file if none does",
                  (left.empty() ? own_left : left).string()));
}

asio::awaitable<base::result<void>> git_repository::mend_move(std::string mark, std::string commit,
                                                              std::vector<std::string>& mended) {
  const bool forward = mark == forward_mark;
  auto parent = co_await resolve(commit + "^1");
  if (!parent) co_return parent.error();
  auto at = co_await head();
  if (!at) co_return at.error();
  const auto from = forward ? parent->value_or("") : commit;
  const auto to = forward ? commit : parent->value_or("");
  // HEAD is what git moves last: where it is at the end of the way, the files are, too. Where it is neither here nor
  // there, somebody has worked here since, and whatever is left of the move shows as a change of theirs.
  if (*at == from && !to.empty()) {
    auto restored = co_await restore(from, to, mended);
    if (!restored) co_return restored.error();
    mended.push_back(fmt::format("took back the unfinished move from {:.12} to {:.12}", from, to));
  } else if (*at != to) {
    mended.push_back(fmt::format("HEAD has left the unfinished move from {:.12} to {:.12}: left alone", from, to));
  }
  auto forgotten = co_await forget(mark);
  co_return forgotten;
}

asio::awaitable<base::result<void>> git_repository::restore(std::string from, std::string to,
                                                            std::vector<std::string>& mended) {
  auto touched = co_await changes(from, to);
  if (!touched) co_return touched.error();
  auto foreign = co_await foreign_among(*touched, to);
  if (!foreign) co_return foreign.error();
  std::vector<std::string> gone;
  std::vector<std::string> back;
  std::vector<std::string> only_index;
  for (const auto& changed : *touched) {
    const bool theirs = std::find(foreign->begin(), foreign->end(), changed.path) != foreign->end();
    if (changed.added()) gone.push_back(changed.path);
    if (changed.added() && !theirs && check_no_link_on_the_way(root(), changed.path)) remove_file(root(), changed.path);
    if (!changed.added()) (theirs ? only_index : back).push_back(changed.path);
  }
  std::vector<git_call> calls;
  if (!gone.empty())
    calls.push_back({.arguments = {"update-index", "--force-remove", "-z", "--stdin"}, .input = join_nul(gone)});
  const std::vector<std::string> from_input{"--source=" + from, "--pathspec-from-file=-", "--pathspec-file-nul"};
  for (const auto* paths : {&back, &only_index}) {
    if (paths->empty()) continue;
    git_call call{.arguments = {"restore", "--staged"}, .input = join_nul(*paths)};
    if (paths == &back) call.arguments.emplace_back("--worktree");
    call.arguments.insert(call.arguments.end(), from_input.begin(), from_input.end());
    calls.push_back(std::move(call));
  }
  for (auto& call : calls) {
    auto done = co_await git_.output(std::move(call));
    if (!done) co_return done.error();
  }
  if (!foreign->empty()) mended.push_back("left alone, changed since: " + list_some(*foreign));
  co_return base::result<void>();
}

/// The files among `paths` whose content is none that the move could have left: not the former, not the new, not the
/// beginning of the new. A person wrote those.
asio::awaitable<base::result<std::vector<std::string>>> git_repository::foreign_among(std::vector<changed_path> paths,
                                                                                      std::string to) const {
  std::vector<std::string> foreign;
  std::vector<const changed_path*> regular;
  git_call hash;
  hash.arguments = {"hash-object", "--stdin-paths"};
  for (const auto& changed : paths) {
    if (!check_no_link_on_the_way(root(), changed.path)) {
      foreign.push_back(changed.path);
      continue;
    }
    std::error_code ec;
    const auto status = fs::symlink_status(root() / changed.path, ec);
    if (status.type() != fs::file_type::regular) continue;
    regular.push_back(&changed);
    // A name that begins with a quotation mark would be read as a quoted one.
    hash.input += (changed.path.starts_with('"') ? "./" : "") + changed.path + "\n";
  }
  if (regular.empty()) co_return foreign;
  auto output = co_await git_.output(hash);
  if (!output) co_return output.error();
  const auto ids = base::split(base::trim(*output), '\n');
  if (ids.size() != regular.size())
    co_return base::make_error(base::error_kind::internal, "git hash-object answered for another number of files");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto& changed = *regular[i];
    if (ids[i] == changed.old_blob || ids[i] == changed.new_blob) continue;
    bool unfinished = false;
    if (!changed.deleted()) {
      git_call content;
      content.arguments = {"cat-file", "--filters", to + ":" + changed.path};
      auto expected = co_await git_.output(content);
      if (!expected) co_return expected.error();
      unfinished = is_beginning_of(root() / changed.path, *expected);
    }
    if (!unfinished) foreign.push_back(changed.path);
  }
  co_return foreign;
}

}  // namespace fleet::agent::execution
