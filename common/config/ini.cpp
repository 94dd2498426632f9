#include "common/config/ini.hpp"

#include "common/base/text.hpp"

namespace fleet::config {

ini_document parse_ini(std::string_view text) {
  ini_document document;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::string section;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const auto end = text.find('\n');
    const auto line = base::trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      section = line.back() == ']' ? std::string(base::trim(line.substr(1, line.size() - 2))) : "";
      if (section.empty()) document.problems.push_back({number, "expected [section]"});
      continue;
    }
    const auto equals = line.find('=');
    const auto name = equals == std::string_view::npos ? "" : base::trim(line.substr(0, equals));
    if (name.empty()) {
      document.problems.push_back({number, "expected name = value, [section], or a comment that starts with #"});
      continue;
    }
    const auto prefix = section.empty() ? "" : section + ".";
    document.entries.push_back({prefix + std::string(name), std::string(base::trim(line.substr(equals + 1))), number});
  }
  return document;
}

}  // namespace fleet::config
