#include "tests/bench/queue_bench/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>

#include "tests/bench/queue_bench/load.hpp"

namespace fleet::bench {

namespace {

std::string key_of(const std::string& section, const std::string& what) {
  return section + "\n" + what;
}

std::string shown(double value) {
  if (std::abs(value) >= 1000) return fmt::format("{:.0f}", value);
  return std::abs(value) >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.2f}", value);
}

bool met(const goal& of, double ratio) {
  return of.at_least ? ratio >= of.bound : ratio <= of.bound;
}

/// Where both sides have as many rounds, each round is compared with itself: what disturbed the machine then hit both.
double ratio_of(const std::vector<double>& ours, const std::vector<double>& theirs) {
  if (ours.size() != theirs.size()) return median(ours) / median(theirs);
  std::vector<double> each;
  for (std::size_t i = 0; i < ours.size(); ++i) each.push_back(ours[i] / theirs[i]);
  return median(each);
}

}  // namespace

void report::add(const figure& line, const std::string& subject, double value) {
  auto& line_values = values_[key_of(line.section, line.what)];
  if (line_values.empty()) lines_.push_back(line);
  if (std::find(subjects_.begin(), subjects_.end(), subject) == subjects_.end()) subjects_.push_back(subject);
  line_values[subject].push_back(value);
}

const report::rounds* report::values(const std::string& section, const std::string& what,
                                     const std::string& subject) const {
  const auto line = values_.find(key_of(section, what));
  if (line == values_.end()) return nullptr;
  const auto found = line->second.find(subject);
  return found == line->second.end() ? nullptr : &found->second;
}

std::optional<double> report::median_of(const std::string& section, const std::string& what,
                                        const std::string& subject) const {
  const auto* found = values(section, what, subject);
  return found == nullptr ? std::nullopt : std::optional(median(*found));
}

std::optional<double> report::ratio(const goal& of) const {
  const auto* ours = values(of.section, of.what, of.subject);
  if (ours == nullptr) return std::nullopt;
  if (of.against.empty()) return median(*ours);
  std::optional<double> worst;
  for (const auto& subject : of.against) {
    const auto* theirs = values(of.section, of.against_what.empty() ? of.what : of.against_what, subject);
    if (theirs == nullptr) continue;
    const double one = ratio_of(*ours, *theirs);
    if (!worst) worst = one;
    worst = of.at_least ? std::min(*worst, one) : std::max(*worst, one);
  }
  return worst;
}

std::string report::table(const std::string& section) const {
  std::vector<std::string> columns;
  for (const auto& subject : subjects_) {
    const bool any = std::any_of(lines_.begin(), lines_.end(), [&](const figure& line) {
      return line.section == section && values(section, line.what, subject) != nullptr;
    });
    if (any) columns.push_back(subject);
  }
  std::size_t most_rounds = 0;
  for (const auto& line : lines_) {
    if (line.section != section) continue;
    for (const auto& [subject, each_round] : values_.at(key_of(section, line.what)))
      most_rounds = std::max(most_rounds, each_round.size());
  }
  std::string rule;
  for (std::size_t i = 0; i < columns.size(); ++i) rule += "---:|";
  std::string out = fmt::format("### {}, {}\n\n| | {} |\n|---|{}\n", section,
                                most_rounds == 1 ? "once" : fmt::format("median of {} rounds", most_rounds),
                                fmt::join(columns, " | "), rule);
  for (const auto& line : lines_) {
    if (line.section != section) continue;
    out += fmt::format("| {}, {} |", line.what, line.unit);
    for (const auto& subject : columns) {
      const auto value = median_of(section, line.what, subject);
      out += value ? " " + shown(*value) + " |" : " - |";
    }
    out += "\n";
  }
  return out + "\n";
}

std::string report::text(const std::vector<goal>& goals) const {
  std::string out = "| must reach | bound | measured | |\n|---|---:|---:|---|\n";
  for (const auto& each : goals) {
    const auto measured = ratio(each);
    out += fmt::format("| {} | {} {} | {} | {} |\n", each.text, each.at_least ? "≥" : "≤", each.bound,
                       measured ? fmt::format("{:.2f}", *measured) : "-",
                       !measured ? "not measured" : (met(each, *measured) ? "met" : "**missed**"));
  }
  out += "\n";
  std::vector<std::string> seen;
  for (const auto& line : lines_) {
    if (std::find(seen.begin(), seen.end(), line.section) != seen.end()) continue;
    seen.push_back(line.section);
    out += table(line.section);
  }
  for (const auto& [subject, why] : missing_) out += fmt::format("- not run: {}: {}\n", subject, why);
  for (const auto& [name, value] : machine_) out += fmt::format("- {}: {}\n", name, value);
  return out;
}

boost::json::object report::json(const std::vector<goal>& goals) const {
  boost::json::object out;
  boost::json::array held;
  for (const auto& each : goals) {
    const auto measured = ratio(each);
    boost::json::object one{{"goal", each.text}, {"at_least", each.at_least}, {"bound", each.bound}};
    one["measured"] = measured ? boost::json::value(*measured) : boost::json::value(nullptr);
    one["met"] = measured ? boost::json::value(met(each, *measured)) : boost::json::value(nullptr);
    held.push_back(std::move(one));
  }
  out["goals"] = std::move(held);
  boost::json::array figures;
  for (const auto& line : lines_) {
    for (const auto& [subject, each_round] : values_.at(key_of(line.section, line.what))) {
      figures.push_back({{"section", line.section},
                         {"what", line.what},
                         {"unit", line.unit},
                         {"subject", subject},
                         {"median", median(each_round)},
                         {"rounds", boost::json::array(each_round.begin(), each_round.end())}});
    }
  }
  out["figures"] = std::move(figures);
  boost::json::object not_run;
  for (const auto& [subject, why] : missing_) not_run[subject] = why;
  out["not_run"] = std::move(not_run);
  boost::json::object machine;
  for (const auto& [name, value] : machine_) machine[name] = value;
  out["machine"] = std::move(machine);
  return out;
}

}  // namespace fleet::bench
