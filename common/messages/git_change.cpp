#include "common/messages/git_change.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/text.hpp"
#include "common/messages/reader.hpp"
#include "common/messages/unified_diff.hpp"

namespace fleet::messages {
namespace {

constexpr std::size_t max_files = 10'000;

base::error refuse(std::string_view path, std::string_view why) {
  return base::invalid_fields(
      {{"code_change",
        fmt::format(
            "the path \"{}\" is not taken: {}",
            base::has_control_characters(path) || !base::is_valid_utf8(path) ? "?" : base::abbreviate(path, 200),
            why)}});
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// Also the spellings that Windows and macOS file systems take for `.git`: trailing dots and blanks, the short name, a
/// stream, and characters that HFS+ leaves out.
bool is_git_directory(std::string_view component) {
  std::string name;
  for (std::size_t i = 0; i < component.size(); ++i) {
    const auto three = component.substr(i, 3);
    const bool ignorable =
        three.size() == 3 &&
        ((three.starts_with("\xE2\x80") &&
          ((three[2] >= '\x8C' && three[2] <= '\x8F') || (three[2] >= '\xAA' && three[2] <= '\xAE'))) ||
         (three.starts_with("\xE2\x81") && three[2] >= '\xAA' && three[2] <= '\xAF') || three == "\xEF\xBB\xBF");
    if (ignorable)
      i += 2;
    else
      name += component[i];
  }
  name = lower(name.substr(0, name.find(':')));
  while (!name.empty() && (name.back() == '.' || name.back() == ' ')) name.pop_back();
  return name == ".git" || name == "git~1";
}

bool is_revision(std::string_view text) {
  constexpr std::string_view others = "._/~^-";
  return !text.empty() && text.size() <= 200 && text.front() != '-' && text.find("..") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  others.find(c) != std::string_view::npos;
         });
}

constexpr text_length content_length{0, 8U * 1024 * 1024};

void read_files(reader& in, git_change& change) {
  const auto* files = in.object("files");
  if (files == nullptr) return;
  auto nested = in.nested("files", *files);
  if (files->empty()) nested.fail("", "expected at least one path");
  if (files->size() > max_files) {
    nested.fail("", fmt::format("expected at most {} paths, got {}", max_files, files->size()));
    return;
  }
  for (const auto& member : *files) {
    const std::string_view path = member.key();
    if (const auto fits = check_path(path); !fits)
      nested.fail(path, fits.error().fields.front().message);
    else
      change.files.emplace(path, nested.optional_text(path, content_length));
  }
}

std::optional<std::string> read_revision(reader& in) {
  const auto* base = in.find("base");
  if (base == nullptr) return std::nullopt;
  if (base->is_string() && is_revision(base->get_string())) return std::string(base->get_string());
  in.fail_expected("base", "a commit's id or a revision's name", base);
  return std::nullopt;
}

}  // namespace

base::result<git_change> parse_git_change(const boost::json::object& code_change) {
  reader in(code_change, "code_change");
  git_change change;
  if (in.has("patch") == in.has("files"))
    in.fail("", "expected either \"patch\" (a unified diff) or \"files\" (contents by path)");
  if (in.has("patch")) {
    change.patch = in.text("patch", content_length);
    if (base::trim(*change.patch).empty() && in.ok()) in.fail("patch", "is empty; expected a unified diff");
  }
  if (in.has("files")) read_files(in, change);
  change.base = read_revision(in);
  change.message = in.optional_text("message", free_text);
  if (!in.ok()) return in.error();
  return change;
}

base::result<std::vector<std::string>> paths_of(const git_change& change) {
  std::vector<std::string> paths;
  if (change.patch) {
    auto names = names_in_diff(*change.patch);
    if (!names) return names.error();
    paths.assign(names->begin(), names->end());
  }
  for (const auto& [path, content] : change.files) paths.push_back(path);
  if (paths.empty()) return base::invalid_fields({{"code_change", "changes nothing"}});
  for (const auto& path : paths)
    if (auto fits = check_path(path); !fits) return fits.error();
  return paths;
}

base::result<void> check_path(std::string_view path) {
  if (path.empty()) return refuse(path, "it is empty");
  if (path.size() > 4096) return refuse(path, "it is longer than 4096 bytes");
  if (!base::is_valid_utf8(path)) return refuse(path, "it is not valid UTF-8");
  if (base::has_control_characters(path)) return refuse(path, "it has control characters");
  if (path.find('\\') != std::string_view::npos) return refuse(path, "it has a backslash");
  if (path.front() == '/') return refuse(path, "it is absolute");
  for (const auto& component : base::split(path, '/')) {
    if (component.empty()) return refuse(path, "it has an empty component");
    if (component.size() > 255) return refuse(path, "it has a component of more than 255 bytes");
    if (component == "." || component == "..") return refuse(path, fmt::format("it has a component \"{}\"", component));
    if (is_git_directory(component)) return refuse(path, "it leads into .git");
  }
  return {};
}

}  // namespace fleet::messages
