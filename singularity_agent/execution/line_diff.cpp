#include "singularity_agent/execution/line_diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

namespace fleet::agent::execution {
namespace {

constexpr std::size_t context = 3;
/// Of the table of what two texts have in common: 2 MiB, a few milliseconds.
constexpr std::size_t max_cells = 1U << 20;

/// With their ends, so that a last line without one differs from one that has it.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return lines;
}

struct step {
  char kind;  ///< ' ', '-' or '+', as in the diff
  std::string_view line;
};

using lines = std::vector<std::string_view>;

/// The steps from one middle to the other by their longest common subsequence.
void add_middle(std::vector<step>& to, const lines& before, const lines& after) {
  const auto rows = before.size();
  const auto columns = after.size();
  const bool compared = rows < UINT16_MAX && columns < UINT16_MAX && (rows + 1) * (columns + 1) <= max_cells;
  std::vector<std::uint16_t> common(compared ? (rows + 1) * (columns + 1) : 0);
  const auto at = [&](std::size_t row, std::size_t column) -> std::uint16_t& {
    return common[row * (columns + 1) + column];
  };
  for (auto row = compared ? rows : 0; row-- > 0;) {
    for (auto column = columns; column-- > 0;) {
      at(row, column) = before[row] == after[column] ? static_cast<std::uint16_t>(at(row + 1, column + 1) + 1)
                                                     : std::max(at(row + 1, column), at(row, column + 1));
    }
  }
  std::size_t row = 0;
  std::size_t column = 0;
  while (compared && row < rows && column < columns) {
    if (before[row] == after[column]) {
      to.push_back({' ', before[row++]});
      ++column;
    } else if (at(row + 1, column) >= at(row, column + 1)) {
      to.push_back({'-', before[row++]});
    } else {
      to.push_back({'+', after[column++]});
    }
  }
  while (row < rows) to.push_back({'-', before[row++]});
  while (column < columns) to.push_back({'+', after[column++]});
}

std::vector<step> steps_between(const lines& before, const lines& after) {
  const auto shorter = std::min(before.size(), after.size());
  std::size_t head = 0;
  while (head < shorter && before[head] == after[head]) ++head;
  std::size_t tail = 0;
  while (tail < shorter - head &&
         before.rbegin()[static_cast<std::ptrdiff_t>(tail)] == after.rbegin()[static_cast<std::ptrdiff_t>(tail)]) {
    ++tail;
  }
  const auto middle = [&](const lines& of) {
    return lines(of.begin() + static_cast<std::ptrdiff_t>(head), of.end() - static_cast<std::ptrdiff_t>(tail));
  };
  std::vector<step> steps;
  for (std::size_t i = 0; i < head; ++i) steps.push_back({' ', before[i]});
  add_middle(steps, middle(before), middle(after));
  for (auto i = before.size() - tail; i < before.size(); ++i) steps.push_back({' ', before[i]});
  return steps;
}

/// How many lines of one side come before the step, and how many are among some steps.
std::size_t count(const std::vector<step>& steps, std::size_t from, std::size_t to, char other) {
  return static_cast<std::size_t>(std::count_if(steps.begin() + static_cast<std::ptrdiff_t>(from),
                                                steps.begin() + static_cast<std::ptrdiff_t>(to),
                                                [other](const step& one) { return one.kind != other; }));
}

/// "12,3", "12" for one line; an empty side names the line before it.
std::string range(std::size_t before_it, std::size_t length) {
  const auto first = length == 0 ? before_it : before_it + 1;
  return length == 1 ? fmt::format("{}", first) : fmt::format("{},{}", first, length);
}

void add_hunk(std::string& to, const std::vector<step>& steps, std::size_t from, std::size_t end) {
  to += fmt::format("@@ -{} +{} @@\n", range(count(steps, 0, from, '+'), count(steps, from, end, '+')),
                    range(count(steps, 0, from, '-'), count(steps, from, end, '-')));
  for (auto i = from; i < end; ++i) {
    to += steps[i].kind;
    to += steps[i].line;
    if (!steps[i].line.ends_with('\n')) to += "\n\\ No newline at end of file\n";
  }
}

}  // namespace

std::string line_diff(std::string_view before, std::string_view after) {
  const auto steps = steps_between(lines_of(before), lines_of(after));
  std::string hunks;
  std::size_t next = 0;
  while (next < steps.size()) {
    const auto is_change = [](const step& one) { return one.kind != ' '; };
    const auto at = steps.begin() + static_cast<std::ptrdiff_t>(next);
    const auto first = static_cast<std::size_t>(std::find_if(at, steps.end(), is_change) - steps.begin());
    if (first == steps.size()) break;
    // Changes whose surroundings touch are one hunk.
    auto last = first;
    for (auto i = first; i < steps.size() && i <= last + 2 * context + 1; ++i)
      if (is_change(steps[i])) last = i;
    const auto from = first - std::min(first - next, context);
    next = std::min(last + context + 1, steps.size());
    add_hunk(hunks, steps, from, next);
  }
  return hunks;
}

}  // namespace fleet::agent::execution
