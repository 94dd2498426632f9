#include "singularity_agent/execution/change_preview.hpp"

#include <charconv>
#include <string>
#include <string_view>

#include "common/base/text.hpp"
#include "singularity_agent/execution/git_text.hpp"
#include "singularity_agent/execution/line_diff.hpp"

namespace fleet::agent::execution {
namespace {

bool fits(const messages::git_change& change) {
  if (change.files.empty() || change.files.size() > change_preview::max_files) return false;
  std::size_t bytes = 0;
  for (const auto& [path, content] : change.files) bytes += content ? content->size() : 0;
  return bytes <= change_preview::max_bytes && messages::paths_of(change).has_value();
}

/// One answer of `git cat-file --batch`, taken off the front: "<id> blob <size>", the content and a line's end, or
/// "<name> missing". False: git printed something else.
bool take_file(std::string_view& output, std::string_view name, std::optional<std::string_view>& content) {
  content.reset();
  const auto end = output.find('\n');
  if (end == std::string_view::npos) return false;
  const auto head = output.substr(0, end);
  output.remove_prefix(end + 1);
  if (head.starts_with(name) && head.substr(name.size()) == " missing") return true;
  const auto words = base::split(head, ' ');
  if (words.size() != 3 || words[1] != "blob") return false;
  std::size_t size = 0;
  const auto* const last = words[2].data() + words[2].size();
  if (std::from_chars(words[2].data(), last, size).ptr != last || size >= output.size()) return false;
  content = output.substr(0, size);
  output.remove_prefix(size + 1);
  return true;
}

bool is_text(std::string_view content) {
  return content.find('\0') == std::string_view::npos && base::is_valid_utf8(content);
}

}  // namespace

boost::asio::awaitable<std::optional<boost::json::object>> change_preview::of(boost::json::object code_change) const {
  if (!code_change.contains("files")) co_return std::nullopt;
  auto change = messages::parse_git_change(code_change);
  if (!change || !fits(*change)) co_return std::nullopt;
  if (change->base && !is_commit_name(*change->base)) co_return std::nullopt;
  git_call resolve;
  resolve.arguments = {"rev-parse", "--verify", "--quiet", change->base.value_or("HEAD") + "^{commit}"};
  const auto commit = co_await git_.word(std::move(resolve));
  if (!commit) co_return std::nullopt;
  co_return co_await against(*commit, std::move(*change));
}

boost::asio::awaitable<std::optional<boost::json::object>> change_preview::against(std::string commit,
                                                                                   messages::git_change change) const {
  git_call read;
  read.arguments = {"cat-file", "--batch"};
  read.max_output_bytes = max_bytes + max_files * 200;
  for (const auto& [path, content] : change.files) read.input += commit + ":" + path + "\n";
  const auto output = co_await git_.output(std::move(read));
  if (!output) co_return std::nullopt;
  std::string_view rest = *output;
  boost::json::object files;
  for (const auto& [path, content] : change.files) {
    std::optional<std::string_view> former;
    if (!take_file(rest, commit + ":" + path, former)) co_return std::nullopt;
    auto& shown = files[path];
    if (is_text(former.value_or(""))) shown = line_diff(former.value_or(""), content.value_or(""));
  }
  boost::json::object preview;
  preview["commit"] = std::move(commit);
  preview["files"] = std::move(files);
  co_return preview;
}

}  // namespace fleet::agent::execution
