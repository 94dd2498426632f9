// What changed from one text to another, line by line.
#pragma once
#include <string>
#include <string_view>

namespace fleet::agent::execution {

/// The hunks of a unified diff (`@@ -1,2 +1,3 @@`, three lines around each change); empty where nothing changed. Texts
/// that are long and have little in common come out as all removed, then all added.
std::string line_diff(std::string_view before, std::string_view after);

}  // namespace fleet::agent::execution
