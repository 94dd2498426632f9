// Figures of all rounds, their medians, and the ratios that are held to a bound.
#pragma once
#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fleet::bench {

/// A line of a section's table: what was measured and its unit.
struct figure {
  std::string section;
  std::string what;
  std::string unit;
};

/// Ours ÷ theirs (or ÷ another figure of ours) and the bound that it has to keep.
struct goal {
  std::string text;
  std::string section;
  std::string what;
  std::string subject = "ours";
  std::string against_what;  ///< empty: the same figure
  std::vector<std::string>
      against;           ///< subjects, the best of which counts; empty: the figure itself is held to the bound
  bool at_least = true;  ///< otherwise at most
  double bound = 0;
};

class report {
 public:
  void add(const figure& line, const std::string& subject, double value);
  void not_run(const std::string& subject, const std::string& why) { missing_[subject] = why; }
  void set_machine(std::vector<std::pair<std::string, std::string>> lines) { machine_ = std::move(lines); }
  std::optional<double> median_of(const std::string& section, const std::string& what,
                                  const std::string& subject) const;

  /// Ratios first, then the tables, then the machine: Markdown.
  std::string text(const std::vector<goal>& goals) const;
  boost::json::object json(const std::vector<goal>& goals) const;

 private:
  using rounds = std::vector<double>;
  const rounds* values(const std::string& section, const std::string& what, const std::string& subject) const;
  /// Nothing where one side was not measured.
  std::optional<double> ratio(const goal& of) const;
  std::string table(const std::string& section) const;

  std::vector<figure> lines_;  ///< in the order of their first value
  std::vector<std::string> subjects_;
  std::map<std::string, std::map<std::string, rounds>> values_;  ///< section + what → subject
  std::map<std::string, std::string> missing_;
  std::vector<std::pair<std::string, std::string>> machine_;
};

/// What the queue must reach.
std::vector<goal> goals();

}  // namespace fleet::bench
