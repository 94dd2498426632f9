#include "tests/support/dashboard_views.hpp"

#include <filesystem>
#include <fstream>
#include <thread>

namespace fleet::test {

void take_pictures(browser& page, const std::string& root, const std::vector<dashboard_view>& views,
                   const std::string& directory) {
  constexpr int most_height = 1800;
  std::filesystem::create_directories(directory);
  for (const int width : {1400, 390}) {
    page.resize(width, width > 500 ? 1000 : 844, width < 500);
    for (const auto& each : views) {
      page.go("about:blank");
      page.go(root + each.path);
      page.wait("document.querySelector('main " + each.shows + "') !== null");
      page.wait("document.querySelector('#link-state').dataset.state === 'live'");
      std::this_thread::sleep_for(each.stays);
      for (const auto* scheme : {"light", "dark"}) {
        page.prefer(scheme);
        std::ofstream(directory + "/" + each.name + "-" + std::to_string(width) + "-" + scheme + ".png",
                      std::ios::binary)
            << page.screenshot(most_height);
      }
    }
  }
}

}  // namespace fleet::test
