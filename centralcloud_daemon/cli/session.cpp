#include "centralcloud_daemon/cli/session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>
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

void print_list(const daemon::invocation& call, const std::vector<daemon::column>& columns, const std::string& list,
                const std::string& empty_text) {
  if (call.json) {
    *call.out << list << '\n';
    return;
  }
  daemon::print_rows(*call.out, false, columns, boost::json::parse(list).as_array(), empty_text);
}

}  // namespace fleet::central::cli
