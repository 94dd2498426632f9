// Running programs with errors as values.
#pragma once
#include <boost/asio/awaitable.hpp>

#include "common/async/process.hpp"
#include "common/base/error.hpp"
#include "singularity_agent/execution/executor.hpp"

namespace fleet::agent::execution {

/// `async::run_process`, with a program that could not be started as an error (`unavailable`). Any exit is a value.
boost::asio::awaitable<base::result<async::process_result>> try_run(async::process_spec spec);

/// How a verification's command ended.
verification verification_of(const async::process_result& ended);

}  // namespace fleet::agent::execution
