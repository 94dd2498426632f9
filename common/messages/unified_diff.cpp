#include "common/messages/unified_diff.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>

namespace fleet::messages {
namespace {

constexpr std::size_t max_names = 10'000;

struct hunk_size {
  std::int64_t old_lines = 0;
  std::int64_t new_lines = 0;
};

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// "12" or "12,3": the count is 1 where it is left out.
bool take_span(std::string_view& text, std::int64_t& count) {
  std::int64_t start = 0;
  auto read = std::from_chars(text.data(), text.data() + text.size(), start);
  if (read.ec != std::errc() || start < 0) return false;
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  count = 1;
  if (!take_prefix(text, ",")) return true;
  read = std::from_chars(text.data(), text.data() + text.size(), count);
  if (read.ec != std::errc() || count < 0) return false;
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  return true;
}

std::optional<hunk_size> parse_hunk_header(std::string_view line) {
  hunk_size size;
  if (!take_prefix(line, "@@ -") || !take_span(line, size.old_lines) || !take_prefix(line, " +") ||
      !take_span(line, size.new_lines) || !take_prefix(line, " @@"))
    return std::nullopt;
  return size;
}

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

/// A name in git's C-style quotes at the start of `text`, which is moved behind it.
std::optional<std::string> take_quoted(std::string_view& text) {
  constexpr std::string_view letters = "abfnrtv\"\\";
  constexpr std::string_view values = "\a\b\f\n\r\t\v\"\\";
  std::string name;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return name;
    }
    if (text[i] != '\\') {
      name += text[i];
      continue;
    }
    if (++i >= text.size()) return std::nullopt;
    if (const auto letter = letters.find(text[i]); letter != std::string_view::npos) {
      name += values[letter];
    } else if (i + 2 < text.size() && text[i] <= '3' && is_octal(text[i]) && is_octal(text[i + 1]) &&
               is_octal(text[i + 2])) {
      name += static_cast<char>((text[i] - '0') * 64 + (text[i + 1] - '0') * 8 + (text[i + 2] - '0'));
      i += 2;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

/// The rest of a header line as one name: quoted, or up to a tab (behind which a time stands).
std::optional<std::string> parse_name(std::string_view text) {
  if (text.starts_with('"')) return take_quoted(text);
  text = text.substr(0, text.find('\t'));
  if (text.empty()) return std::nullopt;
  return std::string(text);
}

/// Without its first component. Absolute names keep their slash, so that the check of paths refuses them.
std::optional<std::string> strip_one(std::string_view name) {
  if (name.starts_with('/')) return std::string(name);
  const auto slash = name.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return std::string(name.substr(slash + 1));
}

/// The name of "diff --git a/NAME b/NAME", which is all there is for an empty file or a change of mode. Names with
/// blanks are not quoted, so that without quotes only two equal names can be told apart.
std::optional<std::string> parse_git_line(std::string_view text) {
  if (text.starts_with('"')) {
    const auto first = take_quoted(text);
    return first ? strip_one(*first) : std::nullopt;
  }
  if (text.ends_with('"')) {
    const auto quote = text.find('"');
    auto rest = text.substr(quote);
    const auto second = take_quoted(rest);
    return second ? strip_one(*second) : std::nullopt;
  }
  for (auto blank = text.find(' '); blank != std::string_view::npos; blank = text.find(' ', blank + 1)) {
    auto first = strip_one(text.substr(0, blank));
    if (first && first == strip_one(text.substr(blank + 1))) return first;
  }
  return std::nullopt;
}

class diff_parser {
 public:
  explicit diff_parser(std::string_view patch) : rest_(patch) {}

  base::result<std::set<std::string>> run() {
    while (next_line()) {
      if (auto done = in_hunk() ? hunk_line() : header_line(); !done) return done.error();
      if (names_.size() > max_names) return wrong(fmt::format("touches more than {} files", max_names));
    }
    if (in_hunk()) return wrong("the patch is cut short inside this hunk");
    if (auto done = end_file(); !done) return done.error();
    if (names_.empty()) return wrong_patch("there is no change in it; expected a unified diff");
    return std::move(names_);
  }

 private:
  /// One file of the patch, from its first header line on.
  struct file_state {
    std::optional<std::string> git_name;  ///< of a `diff --git` line that could be read
    bool git = false;
    bool named = false;    ///< by any other header line
    bool changed = false;  ///< has a hunk, or a header that is a change by itself
  };

  static base::error wrong_patch(std::string message) {
    return base::invalid_fields({{"code_change.patch", std::move(message)}});
  }
  base::error wrong(std::string_view what) const { return wrong_patch(fmt::format("line {}: {}", line_number_, what)); }

  bool in_hunk() const { return hunk_.old_lines > 0 || hunk_.new_lines > 0; }

  bool next_line() {
    if (rest_.empty()) return false;
    const auto end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    ++line_number_;
    return true;
  }

  /// Inside a hunk a line that looks like a header is content ("--- a/x" removes the line "-- a/x"), so lines are
  /// counted.
  base::result<void> hunk_line() {
    const char kind = line_.empty() ? ' ' : line_.front();
    if (kind == '\\') return {};
    if (kind == ' ' || kind == '\r' || kind == '-') --hunk_.old_lines;
    if (kind == ' ' || kind == '\r' || kind == '+') --hunk_.new_lines;
    if (kind != ' ' && kind != '\r' && kind != '-' && kind != '+')
      return wrong("expected a line of the hunk, beginning with a blank, + or -");
    if (hunk_.old_lines < 0 || hunk_.new_lines < 0) return wrong("the hunk has more lines than its header says");
    return {};
  }

  base::result<void> header_line() {
    auto line = line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("GIT binary patch") || line.starts_with("Binary files "))
      return wrong("binary patches are not taken; expected text");
    if (take_prefix(line, "diff --git ")) {
      auto ended = end_file();
      if (!ended) return ended;
      file_.git = true;
      file_.git_name = parse_git_line(line);
      return {};
    }
    if (line.starts_with("@@ -")) return hunk_header(line);
    if (take_prefix(line, "--- ")) return old_name(line);
    if (file_.git) return git_header(line);
    return {};  // text between the files: a mail's header, "Index:", a signature
  }

  base::result<void> hunk_header(std::string_view line) {
    const auto size = parse_hunk_header(line);
    if (!size) return wrong("malformed hunk header; expected \"@@ -line,count +line,count @@\"");
    if (!file_.named) return wrong("a hunk without the --- and +++ lines of its file");
    hunk_ = *size;
    if (!in_hunk()) return wrong("an empty hunk");
    file_.changed = true;
    return {};
  }

  base::result<void> old_name(std::string_view text) {
    auto next = rest_.substr(0, rest_.find('\n'));
    if (!take_prefix(next, "+++ "))
      return file_.git && !file_.changed ? wrong("expected a +++ line next") : base::result<void>();
    if (next.ends_with('\r')) next.remove_suffix(1);
    if (file_.changed || !file_.git) {
      if (auto ended = end_file(); !ended) return ended;
    }
    next_line();
    const bool from = text.starts_with("/dev/null");
    const bool to = next.starts_with("/dev/null");
    if (from && to) return wrong("both names are /dev/null");
    if (!from) {
      if (auto added = add_stripped(text); !added) return added;
    }
    return to ? base::result<void>() : add_stripped(next);
  }

  base::result<void> add_stripped(std::string_view text) {
    const auto name = parse_name(text);
    if (!name) return wrong("malformed file name");
    const auto path = strip_one(*name);
    if (!path) return wrong("expected file names with a leading a/ and b/");
    add(*path);
    return {};
  }

  void add(std::string path) {
    names_.insert(std::move(path));
    file_.named = true;
  }

  base::result<void> git_header(std::string_view line) {
    constexpr std::string_view names[] = {"rename from ", "rename to ",  "copy from ",
                                          "copy to ",     "rename old ", "rename new "};
    for (const auto prefix : names) {
      if (!take_prefix(line, prefix)) continue;
      const auto name = parse_name(line);
      if (!name) return wrong("malformed file name");
      add(*name);
      file_.changed = true;
      return {};
    }
    if (line.starts_with("new file mode ") || line.starts_with("deleted file mode ") || line.starts_with("new mode "))
      file_.changed = true;
    else if (!line.starts_with("index ") && !line.starts_with("old mode "))
      return {};
    // The mode is the last word ("index 1..2 100644" as well); a link can point, and a submodule lead, outside.
    if (line.ends_with(" 120000")) return wrong("symbolic links are not taken");
    if (line.ends_with(" 160000")) return wrong("submodules are not taken");
    return {};
  }

  base::result<void> end_file() {
    const auto ended = std::exchange(file_, file_state{});
    if (ended.git && !ended.changed && !ended.named) return wrong("the file before this line has no change");
    if (!ended.git || ended.named) {
      if (ended.named && !ended.changed) return wrong("the file before this line has no hunk");
      return {};
    }
    if (!ended.git_name) return wrong("cannot tell the name of the file before this line");
    names_.insert(*ended.git_name);
    return {};
  }

  std::string_view rest_;
  std::string_view line_;
  std::size_t line_number_ = 0;
  hunk_size hunk_;
  file_state file_;
  std::set<std::string> names_;
};

}  // namespace

base::result<std::set<std::string>> names_in_diff(std::string_view patch) {
  return diff_parser(patch).run();
}

}  // namespace fleet::messages
