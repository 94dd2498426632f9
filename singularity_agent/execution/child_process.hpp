// Running programs with errors as values.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <string>
#include <string_view>

#include "common/async/process.hpp"
#include "common/base/error.hpp"
#include "singularity_agent/execution/executor.hpp"

namespace fleet::agent::execution {

/// `async::run_process`, with a program that could not be started as an error (`unavailable`). Any exit is a value.
boost::asio::awaitable<base::result<async::process_result>> try_run(async::process_spec spec);

/// The last bytes of a text, cut at a line's start where one is near, valid UTF-8 without control characters other than
/// line feeds, for a message or a report.
std::string tail_of(std::string_view text, std::size_t max_bytes = 4096);

/// Why a program failed, in one line: how it ended, and the end of what it said on standard error (or else on standard
/// output).
std::string failure_of(const async::process_result& ended);

/// How a verification's command ended.
verification verification_of(const async::process_result& ended);

}  // namespace fleet::agent::execution
