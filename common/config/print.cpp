#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/json/array.hpp>

#include "common/base/json.hpp"
#include "common/config/values.hpp"

namespace fleet::config {
namespace {

/// Every key in the schema's order; a family's present names where the family stands.
template <class Visit>
void for_each_value(const values& all, Visit visit) {
  for (const auto& what : all.of().settings()) {
    if (!what.key.ends_with(".*")) {
      visit(what, what.key);
      continue;
    }
    const auto prefix = what.key.substr(0, what.key.size() - 1);
    for (const auto& name : all.names_of(what.key))
      if (all.of().find(prefix + name) == &what) visit(what, prefix + name);
  }
}

std::string section_of(const std::string& key) {
  return key.substr(0, key.rfind('.'));
}
std::string name_of(const std::string& key) {
  return key.substr(key.rfind('.') + 1);
}

/// "Type in unit, from min to max; reloaded on SIGHUP; environment NAME".
std::string describe(const setting& what) {
  std::string text(to_string(what.type));
  if (!what.choices.empty()) text = fmt::format("{}", fmt::join(what.choices, "|"));
  if (!what.unit.empty() && what.type != value_type::duration_ms) text += " (" + what.unit + ")";
  if (what.min) text += ", at least " + what.min->str();
  if (what.max) text += ", at most " + what.max->str();
  if (what.required) text += "; required";
  if (what.reloadable) text += "; re-read on SIGHUP";
  if (!what.environment.empty()) text += "; environment " + what.environment;
  if (!what.credential.empty()) text += "; credential " + what.credential;
  if (!what.general_environment.empty()) text += "; default from environment " + what.general_environment;
  return text;
}

/// A section may be added to in several places of a schema; in a file it stands once.
std::vector<std::string> sections_of(const schema& of) {
  std::vector<std::string> sections;
  for (const auto& what : of.settings()) {
    const auto section = section_of(what.key);
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) sections.push_back(section);
  }
  return sections;
}

/// Inside a table's cell.
std::string in_cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

std::string print_effective(const values& all) {
  std::size_t width = 0;
  for_each_value(all, [&](const setting& what, const std::string& key) {
    width = std::max(width, key.size() + 3 + shown(what, all.get_string(key)).size());
  });
  width = std::min<std::size_t>(width, 72);
  std::string text;
  for_each_value(all, [&](const setting& what, const std::string& key) {
    const auto& held = all.get(key);
    text += fmt::format("{:<{}}  # {}\n", fmt::format("{} = {}", key, shown(what, held.text)), width, held.from.where);
  });
  return text;
}

std::string print_effective_json(const values& all) {
  boost::json::array rows;
  for_each_value(all, [&](const setting& what, const std::string& key) {
    const auto& held = all.get(key);
    boost::json::object row;
    row["key"] = key;
    row["value"] = shown(what, held.text);
    row["origin"] = held.from.where;
    row["unit"] = what.type == value_type::duration_ms ? "ms" : what.unit;
    row["reloadable"] = what.reloadable;
    rows.push_back(std::move(row));
  });
  return base::write_json(rows);
}

std::string example_ini(const schema& of, std::string_view title) {
  std::string text = fmt::format(
      "# {}\n# Every setting with its default. Command line (--section.name=value) > environment > credential > "
      "this file > default.\n"
      "# Lines that start with # or ; are comments; a value goes to the end of its line.\n",
      title);
  for (const auto& section : sections_of(of)) {
    text += fmt::format("\n[{}]\n", section);
    for (const auto& what : of.settings()) {
      if (section_of(what.key) != section) continue;
      text += fmt::format("# {}\n#   {}\n", what.sentence, describe(what));
      const bool family = what.key.ends_with(".*");
      const auto name = family ? "NAME" : name_of(what.key);
      // Nothing to say as a default: shown as a comment, or the file would set a required value to nothing.
      text += what.fallback.empty() ? fmt::format("# {} =\n", name) : fmt::format("{} = {}\n", name, what.fallback);
    }
  }
  return text;
}

std::string reference_page(const schema& of, std::string_view title) {
  auto text = fmt::format("## {}\n", title);
  for (const auto& section : sections_of(of)) {
    text += fmt::format("\n### [{}]\n\n| name | default | meaning | type |\n|---|---|---|---|\n", section);
    for (const auto& what : of.settings()) {
      if (section_of(what.key) != section) continue;
      const auto name = what.key.ends_with(".*") ? "NAME" : name_of(what.key);
      const auto fallback = what.fallback.empty() ? std::string() : "`" + in_cell(what.fallback) + "`";
      text += fmt::format("| `{}` | {} | {} | {} |\n", name, fallback, in_cell(what.sentence), in_cell(describe(what)));
    }
  }
  return text;
}

}  // namespace fleet::config
