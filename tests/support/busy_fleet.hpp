// A fleet in which every view of the dashboard has something to show.
#pragma once
#include <array>
#include <map>
#include <string>

#include "tests/support/daemons.hpp"

namespace fleet::test {

/// Text that would do harm, were it ever taken for markup: as a line, it names the document `hurt`.
inline constexpr std::array hostile_lines{
    "<script>document.title = 'hurt'; window.hurt = true</script>",
    "<img src=x onerror=\"window.hurt = true\">",
    "</script></div></main><h1>hurt</h1>",
    "<a href=\"javascript:window.hurt = true\">greeting</a>",
};

/// Three agents and a coordinator. Two proposals have gone their way: one that is nothing but hostile text, applied and
/// confirmed, and one that did harm and was rolled back. There are two dead letters, an alert about them, a pattern,
/// and a safety profile. Throws std::runtime_error with the logs where it does not come to that.
struct busy_fleet {
  explicit busy_fleet(const std::string& name, std::map<std::string, std::string> coordinator_settings = {});

  /// The address of the page.
  std::string root() const { return "http://" + daemons.coordinator_addresses.front() + "/#/"; }

  daemon_fleet daemons;
  std::string hostile;  ///< the proposal of agent 0
  std::string harmful;  ///< the one of agent 1
};

}  // namespace fleet::test
