// Which folder may include which: the direction of dependencies.
#pragma once
#include <string>
#include <vector>

#include "tests/unit/layout/source_tree.hpp"

namespace fleet::layout {

/// Sentences about each #include line that goes against the direction; empty where all is well.
/// Every line reads "path:line: ...".
std::vector<std::string> wrong_includes(const std::vector<source_file>& files);

/// The same for pure files (rules, scorers, states, state machines, backoff, ...): they may reach no Asio, no libpq and
/// no clock, neither directly nor through a header of ours among `files`.
std::vector<std::string> impure_files(const std::vector<source_file>& files);

}  // namespace fleet::layout
