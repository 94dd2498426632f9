// `doctor`: looks at everything that a daemon needs, and says what to do where something is wrong.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <vector>

#include "common/base/finding.hpp"
#include "common/config/values.hpp"
#include "common/daemon/service.hpp"
#include "common/daemon/subcommands.hpp"

namespace fleet::daemon {

/// What a daemon adds to the checks that every daemon has (configuration, files, whether it runs).
struct examination {
  /// Where the daemon answers, "unix:…" or host:port; empty: nowhere.
  std::function<std::string(const config::values&)> address_of;
  std::string listen_setting;  ///< its address over TCP, which may need a token
  /// Everything else; runs on a loop of its own, of which nothing is left when it returns. A throw is a finding, too.
  std::function<boost::asio::awaitable<std::vector<base::finding>>(const config::values&)> examine;
};

/// Adds `doctor`. Exit code 0 where nothing failed (warnings may be left), otherwise 1. It changes nothing, and works
/// whether the daemon runs or not.
void add_doctor_command(command_table& to, const service& what, examination more);

/// For a file that holds a secret: warns where others than its owner and group may read it, or others than its owner
/// may change it; fails where this process cannot read it.
base::finding examine_file(const std::string& check, const std::string& path);
/// What the daemon says about itself at `address` ("unix:…" or host:port), or that none runs there.
base::finding examine_process(const std::string& address);

}  // namespace fleet::daemon
