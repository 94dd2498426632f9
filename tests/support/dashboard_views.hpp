// The dashboard's views as pictures, for people who look at what they changed.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "tests/support/browser.hpp"

namespace fleet::test {

struct dashboard_view {
  std::string name;               ///< of its pictures
  std::string path;               ///< behind "#/"
  std::string shows;              ///< a selector of what it has when all is there
  std::chrono::seconds stays{0};  ///< how long it is open before: a course needs time
};

/// Writes NAME-WIDTH-SCHEME.png for each: 1400 and 390 pixels wide, light and dark. `root`: the page's address with
/// "/#/". Throws where a view does not come.
void take_pictures(browser& page, const std::string& root, const std::vector<dashboard_view>& views,
                   const std::string& directory);

}  // namespace fleet::test
