#include "singularity_agent/execution/path_guard.hpp"

#include <fmt/format.h>

#include "common/base/text.hpp"

namespace fleet::agent::execution {

namespace fs = std::filesystem;

base::result<void> check_no_link_on_the_way(const fs::path& root, const std::string& path) {
  auto at = root;
  auto rest = base::split(path, '/');
  if (!rest.empty()) rest.pop_back();
  for (const auto& component : rest) {
    at /= component;
    std::error_code ec;
    const auto status = fs::symlink_status(at, ec);
    if (status.type() == fs::file_type::not_found) break;
    if (ec)
      return base::make_error(base::error_kind::refused,
                              fmt::format("{}: cannot be looked at: {}", path, ec.message()));
    if (status.type() == fs::file_type::symlink)
      return base::make_error(base::error_kind::refused, fmt::format("{}: goes through the symbolic link {}", path,
                                                                     at.lexically_relative(root).string()));
    if (status.type() != fs::file_type::directory) break;  // tracked as a file: git says whether the change replaces it
  }
  return {};
}

}  // namespace fleet::agent::execution
