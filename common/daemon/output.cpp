#include "common/daemon/output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "common/base/json.hpp"
#include "common/base/text.hpp"

namespace fleet::daemon {
namespace {

namespace json = boost::json;

const json::value* look_up(const json::object& row, std::string_view key) {
  const auto dot = key.find('.');
  const auto* found = row.if_contains(json::string_view(key.data(), dot == key.npos ? key.size() : dot));
  if (found == nullptr || dot == std::string_view::npos) return found;
  const auto* nested = found->if_object();
  return nested == nullptr ? nullptr : look_up(*nested, key.substr(dot + 1));
}

/// A value from somewhere else must not steer the terminal.
std::string cell(const json::value* value) {
  if (value == nullptr || value->is_null()) return "-";
  if (value->is_string()) return base::printable(std::string_view(value->get_string()));
  if (value->is_double()) return fmt::format("{:g}", value->get_double());
  return base::printable(base::write_json(*value));
}

/// Characters, not bytes, so that columns stay aligned.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string padded(const std::string& text, std::size_t width, bool to_right) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return to_right ? space + text : text + space;
}

std::string without_trailing_space(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

std::string format_table(const std::vector<column>& columns, const json::array& rows) {
  std::vector<std::size_t> widths;
  std::vector<bool> numeric(columns.size(), !rows.empty());
  std::vector<std::vector<std::string>> cells;
  widths.reserve(columns.size());
  for (const auto& column : columns) widths.push_back(width_of(column.title));
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto* object = row.if_object();
      const auto* value = object == nullptr ? nullptr : look_up(*object, columns[i].key);
      if (value != nullptr && !value->is_number() && !value->is_null()) numeric[i] = false;
      line.push_back(cell(value));
      widths[i] = std::max(widths[i], width_of(line.back()));
    }
  }
  const auto format_line = [&](const auto& text_of) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i)
      line += (i == 0 ? "" : "  ") + padded(text_of(i), widths[i], numeric[i]);
    return without_trailing_space(std::move(line)) + "\n";
  };
  auto text = format_line([&](std::size_t i) { return columns[i].title; });
  for (const auto& line : cells) text += format_line([&](std::size_t i) { return line[i]; });
  return text;
}

std::string format_record(const std::vector<column>& columns, const json::object& record) {
  std::size_t width = 0;
  for (const auto& column : columns) width = std::max(width, width_of(column.title) + 1);
  std::string text;
  for (const auto& column : columns)
    text += fmt::format("{} {}\n", padded(column.title + ":", width, false), cell(look_up(record, column.key)));
  return text;
}

void print_rows(std::ostream& out, bool as_json, const std::vector<column>& columns, const json::array& rows,
                const std::string& empty_text) {
  if (as_json) {
    out << base::write_json(rows) << '\n';
  } else if (rows.empty()) {
    out << empty_text << '\n';
  } else {
    out << format_table(columns, rows);
  }
}

}  // namespace fleet::daemon
