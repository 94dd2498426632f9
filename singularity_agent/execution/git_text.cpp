#include "singularity_agent/execution/git_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "common/base/text.hpp"

namespace fleet::agent::execution {
namespace {

constexpr std::size_t max_message_bytes = 32 * 1024;

base::error unexpected(std::string_view what) {
  return base::make_error(base::error_kind::internal, fmt::format("git printed an unexpected {}", what));
}

std::vector<std::string> values_of(std::string_view field) {
  std::vector<std::string> values;
  for (const auto& value : base::split(field, '\x1f'))
    if (!base::trim(value).empty()) values.emplace_back(base::trim(value));
  return values;
}

}  // namespace

std::vector<std::string> split_nul(std::string_view output) {
  std::vector<std::string> items;
  while (!output.empty()) {
    const auto end = output.find('\0');
    items.emplace_back(output.substr(0, end));
    if (end == std::string_view::npos) break;
    output.remove_prefix(end + 1);
  }
  return items;
}

std::string join_nul(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items) {
    text += item;
    text += '\0';
  }
  return text;
}

base::result<std::vector<changed_path>> parse_raw_diff(std::string_view output) {
  std::vector<changed_path> paths;
  const auto records = split_nul(output);
  // ":100644 100755 <blob> <blob> M" NUL "path" NUL
  if (records.size() % 2 != 0) return unexpected("diff");
  for (std::size_t i = 0; i < records.size(); i += 2) {
    const auto fields = base::split(records[i], ' ');
    if (fields.size() != 5 || !fields[0].starts_with(':')) return unexpected("diff record");
    paths.push_back({records[i + 1], fields[0].substr(1), fields[1], fields[2], fields[3]});
  }
  return paths;
}

base::result<std::vector<marked_commit>> parse_trailer_log(std::string_view output) {
  std::vector<marked_commit> commits;
  for (const auto& record : split_nul(output)) {
    const auto fields = base::split(record, '\x1e');
    if (fields.size() != 4 || !is_commit_name(fields[0])) return unexpected("log record");
    marked_commit commit;
    commit.commit = fields[0];
    for (const auto& parent : base::split(fields[1], ' '))
      if (!parent.empty()) commit.parents.push_back(parent);
    commit.proposals = values_of(fields[2]);
    commit.reverts = values_of(fields[3]);
    commits.push_back(std::move(commit));
  }
  return commits;
}

std::vector<std::string> parse_status(std::string_view output) {
  std::vector<std::string> paths;
  const auto records = split_nul(output);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto& record = records[i];
    if (record.size() < 4) continue;
    paths.push_back(record.substr(3));
    // A rename or a copy is followed by the name it had.
    if ((record[0] == 'R' || record[0] == 'C') && i + 1 < records.size()) paths.push_back(records[++i]);
  }
  return paths;
}

std::vector<std::string> parse_unmerged(std::string_view output) {
  std::vector<std::string> paths;
  for (const auto& record : split_nul(output)) {
    const auto tab = record.find('\t');
    if (tab != std::string::npos) paths.push_back(record.substr(tab + 1));
  }
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

std::string list_some(const std::vector<std::string>& names, std::size_t most) {
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < names.size() && i < most; ++i)
    shown.push_back(base::printable(base::storable(base::abbreviate(names[i], 200))));
  auto text = fmt::format("{}", fmt::join(shown, ", "));
  if (names.size() > most) text += fmt::format(" and {} more", names.size() - most);
  return text;
}

std::string commit_message(std::string_view text, std::string_view fallback, const std::vector<trailer>& trailers) {
  auto body = base::abbreviate(text, max_message_bytes);
  for (auto& c : body)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f) c = ' ';
  std::string message(base::trim(body));
  if (message.empty()) message = fallback;
  message += "\n\n";
  for (const auto& line : trailers) message += fmt::format("{}: {}\n", line.key, line.value);
  return message;
}

bool fits_in_trailer(std::string_view id) {
  return base::is_valid_id(id) && base::trim(id) == id;
}

bool is_commit_name(std::string_view text) {
  return text.size() >= 7 && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

}  // namespace fleet::agent::execution
