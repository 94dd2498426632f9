#include "singularity_agent/execution/change_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <system_error>

#include "common/base/text.hpp"
#include "singularity_agent/execution/child_process.hpp"

namespace fleet::agent::execution {

namespace asio = boost::asio;
namespace fs = std::filesystem;

change_builder::change_builder(const git_repository& in)
    : in_(in),
      scratch_(in.git_directory() / "singularity_agent.scratch"),
      index_(scratch_ / "index"),
      tree_(scratch_ / "tree") {}

change_builder::~change_builder() {
  std::error_code ec;
  fs::remove_all(scratch_, ec);
}

git_call change_builder::call(std::vector<std::string> arguments) const {
  git_call made;
  made.arguments = std::move(arguments);
  made.index = index_;
  return made;
}

git_call change_builder::call_in_scratch(std::vector<std::string> arguments) const {
  auto made = call(std::move(arguments));
  made.work_tree = tree_;
  made.git_directory = in_.git_directory();
  return made;
}

asio::awaitable<base::result<void>> change_builder::begin(std::string commit) {
  std::error_code ec;
  fs::remove_all(scratch_, ec);
  fs::create_directories(tree_, ec);
  if (ec)
    co_return base::make_error(base::error_kind::unavailable,
                               fmt::format("cannot create {}: {}", tree_.string(), ec.message()));
  const auto read = call({"read-tree", commit});
  auto done = co_await in_.git().output(read);
  if (!done) co_return done.error();
  co_return base::result<void>();
}

asio::awaitable<base::result<std::string>> change_builder::tree_with(messages::git_change change, std::string onto) {
  auto begun = co_await begin(onto);
  if (!begun) co_return begun.error();
  base::result<void> done;
  if (change.patch)
    done = co_await apply_patch(*change.patch);
  else
    done = co_await write_files(std::move(change));
  if (!done) co_return done.error();
  const auto write = call({"write-tree"});
  auto tree = co_await in_.git().word(write);
  co_return tree;
}

asio::awaitable<base::result<void>> change_builder::apply_patch(std::string patch) {
  auto apply = call({"apply", "--cached", "--whitespace=nowarn", "-"});
  apply.input = std::move(patch);
  if (!apply.input.ends_with('\n')) apply.input += '\n';
  auto answer = co_await in_.git().run(std::move(apply));
  if (!answer) co_return answer.error();
  if (answer->exit_code == 0) co_return base::result<void>();
  const auto why = base::tail_of(answer->complaint, 1000);
  // Exit 1: understood, and does not fit; anything else: not understood.
  if (answer->exit_code == 1)
    co_return base::make_error(base::error_kind::conflict, "the patch does not apply: " + why);
  auto wrong =
      base::make_error(base::error_kind::invalid_input, "code_change.patch: not a patch that git applies: " + why);
  wrong.fields.push_back({"code_change.patch", why});
  co_return wrong;
}

/// Index entries of the given paths; paths that are not there are left out.
asio::awaitable<base::result<std::vector<changed_path>>> change_builder::present(std::vector<std::string> paths) {
  constexpr std::size_t paths_per_call = 100;  // 4 KiB each at most: below every system's limit of arguments
  std::vector<changed_path> found;
  for (std::size_t start = 0; start < paths.size(); start += paths_per_call) {
    auto list = call({"ls-files", "--stage", "-z", "--"});
    const auto end = std::min(paths.size(), start + paths_per_call);
    for (auto i = start; i < end; ++i) list.arguments.push_back(paths[i]);
    auto output = co_await in_.git().output(std::move(list));
    if (!output) co_return output.error();
    // "100644 <blob> 0" TAB "path"
    for (const auto& record : split_nul(*output)) {
      const auto tab = record.find('\t');
      const auto fields = base::split(std::string_view(record).substr(0, tab), ' ');
      if (tab == std::string::npos || fields.size() != 3) continue;
      changed_path entry;
      entry.path = record.substr(tab + 1);
      entry.old_mode = fields[0];
      entry.old_blob = fields[1];
      found.push_back(std::move(entry));
    }
  }
  co_return found;
}

base::result<void> change_builder::put_file(const std::string& path, const std::string& content,
                                            bool executable) const {
  std::error_code ec;
  const auto file = tree_ / path;
  fs::create_directories(file.parent_path(), ec);
  std::ofstream out;
  if (!ec) out.open(file, std::ios::binary | std::ios::trunc);
  if (ec || !out)
    return base::make_error(base::error_kind::invalid_input,
                            fmt::format("code_change.files: {} cannot be there beside the other paths", path));
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out)
    return base::make_error(base::error_kind::unavailable, fmt::format("cannot write {}: no space?", file.string()));
  if (executable) fs::permissions(file, fs::perms::owner_exec, fs::perm_options::add, ec);
  return {};
}

asio::awaitable<base::result<void>> change_builder::write_files(messages::git_change change) {
  std::vector<std::string> paths;
  for (const auto& [path, content] : change.files) paths.push_back(path);
  auto entries = co_await present(paths);
  if (!entries) co_return entries.error();
  std::vector<std::string> written;
  std::vector<std::string> removed;
  for (const auto& [path, content] : change.files) {
    const auto entry =
        std::find_if(entries->begin(), entries->end(), [&wanted = path](const auto& e) { return e.path == wanted; });
    const bool there = entry != entries->end();
    if (there && !entry->old_mode.starts_with("100"))
      co_return base::make_error(base::error_kind::conflict,
                                 fmt::format("{} is no regular file in the repository", path));
    if (!content && !there)
      co_return base::make_error(base::error_kind::conflict,
                                 fmt::format("{} is to be deleted and is not in the repository", path));
    (content ? written : removed).push_back(path);
    if (!content) continue;
    const auto put = put_file(path, *content, there && entry->old_mode == "100755");
    if (!put) co_return put.error();
  }
  auto remove = call_in_scratch({"update-index", "--force-remove", "-z", "--stdin"});
  remove.input = join_nul(removed);
  auto add = call_in_scratch({"update-index", "--add", "-z", "--stdin"});
  add.input = join_nul(written);
  if (!removed.empty()) {
    auto done = co_await in_.git().output(std::move(remove));
    if (!done) co_return done.error();
  }
  if (written.empty()) co_return base::result<void>();
  auto answer = co_await in_.git().run(std::move(add));
  if (!answer) co_return answer.error();
  if (answer->exit_code != 0)
    co_return base::make_error(base::error_kind::conflict,
                               "the files do not fit in the repository: " + base::tail_of(answer->complaint, 1000));
  co_return base::result<void>();
}

asio::awaitable<base::result<std::string>> change_builder::merged_tree(three_way commits) {
  auto begun = co_await begin(commits.ours);
  if (!begun) co_return begun.error();
  // In an empty work tree git takes every file for one that has not been checked out, and writes the merged ones alone.
  const auto merge = call_in_scratch({"merge-recursive", commits.base, "--", commits.ours, commits.theirs});
  auto answer = co_await in_.git().run(merge);
  if (!answer) co_return answer.error();
  if (answer->exit_code == 0) {
    const auto write = call({"write-tree"});
    auto tree = co_await in_.git().word(write);
    co_return tree;
  }
  const auto unmerged = call({"ls-files", "--unmerged", "-z"});
  auto output = co_await in_.git().output(unmerged);
  if (!output) co_return output.error();
  const auto files = parse_unmerged(*output);
  if (answer->exit_code != 1 || files.empty())
    co_return base::make_error(base::error_kind::internal,
                               "git could not merge: " + base::tail_of(answer->complaint + answer->output, 1000));
  co_return base::make_error(base::error_kind::conflict,
                             "later changes touch the same lines of: " + list_some(files, 20));
}

asio::awaitable<base::result<std::string>> change_builder::commit(std::string tree, std::string parent,
                                                                  std::string message) {
  auto make = call({"commit-tree", tree, "-p", parent, "-F", "-"});
  make.input = std::move(message);
  auto made = co_await in_.git().word(std::move(make));
  co_return made;
}

}  // namespace fleet::agent::execution
