// What every subcommand that reads the database does around its work.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "centralcloud_daemon/settings.hpp"
#include "common/daemon/output.hpp"
#include "common/daemon/subcommands.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::central::cli {

enum class schema_check { required, none };
using database_work = std::function<boost::asio::awaitable<int>(postgres::connection&, const settings&)>;

/// Loads the settings, connects, runs the work on a loop of its own and returns its exit code; 2 for a configuration or
/// a schema that does not fit, 1 for a database that does not answer. Says why on the error stream.
int with_database(const daemon::invocation& call, database_work work, schema_check check = schema_check::required);

/// Says it on the error stream; returns `exit_refused`.
int refuse(const daemon::invocation& call, std::string_view message);
/// The value of a numeric option; `into` stays as it is where the option is not given. False, and why on the error
/// stream: no number from 1 to `max`.
bool read_number(const daemon::invocation& call, std::string_view option, std::int64_t max,
                 std::optional<std::int64_t>& into);

/// A JSON array as it is (`--json`) or as a table.
void print_list(const daemon::invocation& call, const std::vector<daemon::column>& columns, const std::string& list,
                const std::string& empty_text);

/// `--max N`: how much of a list is shown.
class list_length {
 public:
  static daemon::command_option option();
  /// Nothing, and why on the error stream, where what was given is no number that a list may have.
  static std::optional<list_length> of(const daemon::invocation& call);

  /// What to ask the database for. A table takes one more, and says that there is more; JSON is passed on as it comes.
  std::int64_t asked() const { return json_ ? shown_ : shown_ + 1; }
  std::int64_t shown() const { return shown_; }

 private:
  list_length(std::int64_t shown, bool json) : shown_(shown), json_(json) {}
  std::int64_t shown_;
  bool json_;
};
/// The same of a list of `length.asked()`; where there is more, a line on the error stream says so.
void print_list(const daemon::invocation& call, const std::vector<daemon::column>& columns, const std::string& list,
                const std::string& empty_text, list_length length);

}  // namespace fleet::central::cli
