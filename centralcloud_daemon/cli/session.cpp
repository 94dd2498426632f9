#include "centralcloud_daemon/cli/session.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <exception>
#include <optional>
#include <ostream>
#include <utility>

#include "common/daemon/service.hpp"
#include "common/postgres/error.hpp"
#include "common/quantumflow/schema_version.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;

constexpr std::int64_t usual_list = 100;
constexpr std::int64_t longest_list = 10'000;

awaitable<int> connect_and_run(const daemon::invocation& call, const settings& with, database_work work,
                               schema_check check) {
  auto how = database_settings(with.core);
  const auto connection = co_await postgres::connection::open(std::move(how));
  if (check == schema_check::required) {
    const auto fits = co_await quantumflow::check_schema(*connection);
    if (!fits) {
      refuse(call, fits.error().message);
      co_return daemon::exit_usage;
    }
  }
  co_return co_await work(*connection, with);
}

}  // namespace

int with_database(const daemon::invocation& call, database_work work, schema_check check) {
  const auto values = daemon::load_values(settings_schema(), call);
  const auto effective = values ? settings_from(*values) : base::result<settings>(values.error());
  if (!effective) {
    refuse(call, effective.error().message);
    return daemon::exit_usage;
  }
  boost::asio::io_context io;
  std::optional<int> code;
  std::exception_ptr failure;
  boost::asio::co_spawn(io, connect_and_run(call, *effective, std::move(work), check),
                        [&](std::exception_ptr thrown, int answer) {
                          failure = thrown;
                          code = answer;
                        });
  io.run();
  if (!failure) return code.value_or(daemon::exit_refused);
  try {
    std::rethrow_exception(failure);
  } catch (const postgres::sql_error& error) {
    // An exception that the SQL raised speaks to the caller; of the rest, what was being done matters too.
    const bool spoken =
        error.sqlstate() == "42704" || error.sqlstate() == "P0002" || error.kind() == postgres::sql_kind::invalid_input;
    return refuse(call, spoken ? error.message() : error.what());
  } catch (const std::exception& error) {
    return refuse(call, error.what());
  }
}

int refuse(const daemon::invocation& call, std::string_view message) {
  *call.err << "centralcloud_daemon: " << message << '\n';
  return daemon::exit_refused;
}

bool read_number(const daemon::invocation& call, std::string_view option, std::int64_t max,
                 std::optional<std::int64_t>& into) {
  if (!call.has(option)) return true;
  const auto text = call.option(option);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1 || number > max) {
    refuse(call, "--" + std::string(option) + ": expected a number from 1 to " + std::to_string(max));
    return false;
  }
  into = number;
  return true;
}

daemon::command_option list_length::option() {
  return {"max", "N", fmt::format("At most so many, up to {}; {} otherwise.", longest_list, usual_list)};
}

std::optional<list_length> list_length::of(const daemon::invocation& call) {
  std::optional<std::int64_t> wanted;
  if (!read_number(call, "max", longest_list, wanted)) return std::nullopt;
  return list_length(wanted.value_or(usual_list), call.json);
}

void print_list(const daemon::invocation& call, const std::vector<daemon::column>& columns, const std::string& list,
                const std::string& empty_text) {
  if (call.json) {
    *call.out << list << '\n';
    return;
  }
  daemon::print_rows(*call.out, false, columns, boost::json::parse(list).as_array(), empty_text);
}

void print_list(const daemon::invocation& call, const std::vector<daemon::column>& columns, const std::string& list,
                const std::string& empty_text, list_length length) {
  if (call.json) {
    *call.out << list << '\n';
    return;
  }
  auto rows = boost::json::parse(list).as_array();
  const auto shown = static_cast<std::size_t>(length.shown());
  const bool more = rows.size() > shown;
  if (more) rows.resize(shown);
  daemon::print_rows(*call.out, false, columns, rows, empty_text);
  // Not on the standard output, where a script would count it as a row.
  if (more && length.shown() == longest_list) {
    *call.err << fmt::format("the first {}; there are more\n", shown);
  } else if (more) {
    *call.err << fmt::format("the first {}; more with --max\n", shown);
  }
}

}  // namespace fleet::central::cli
