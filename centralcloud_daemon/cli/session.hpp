// What every subcommand that reads the database does around its work.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <functional>
#include <string>
#include <string_view>

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
/// A JSON array as it is (`--json`) or as a table.
void print_list(const daemon::invocation& call, const std::vector<daemon::column>& columns, const std::string& list,
                const std::string& empty_text);

}  // namespace fleet::central::cli
