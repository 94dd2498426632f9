// Carries out what the connect machine says. Internal to this folder.
#pragma once
#include <boost/asio/awaitable.hpp>

#include "common/postgres/settings.hpp"
#include "common/postgres/wire.hpp"

namespace fleet::postgres {

/// Connects and sets up the session. True: a pooler is between (see `connection::pooled`). Throws `sql_error`.
boost::asio::awaitable<bool> connect(wire& on, settings how);

}  // namespace fleet::postgres
