// Runs a coroutine that is written in place, on a loop of its own where none is given.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>

#include "tests/support/run.hpp"

namespace fleet::test {

inline void run_body(boost::asio::io_context& io, const std::function<boost::asio::awaitable<void>()>& body) {
  run(io, body());
}

inline void run_body(const std::function<boost::asio::awaitable<void>()>& body) {
  boost::asio::io_context io;
  run(io, body());
}

}  // namespace fleet::test
