// Loading: command line > environment > credential > INI file > default, with every error found, not only the first.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/config/values.hpp"

namespace fleet::config {

using environment_lookup = std::function<std::optional<std::string>(const std::string& name)>;
/// The process's own environment. An empty variable counts as not set.
environment_lookup process_environment();

struct sources {
  std::string file;                    ///< INI file; empty: none
  std::vector<std::string> arguments;  ///< only flags of settings: "--log.level=debug" or "--log.level", "debug"
  environment_lookup environment = process_environment();
};

/// Reads every source. Error `invalid_input` with one field an error, whose message starts with its place
/// ("agent.ini:12"); the error's own message has one line each. Unknown keys and flags are errors, with a suggestion.
/// Reads a file of at most 1 MiB; call it before the loop starts or on SIGHUP (it blocks for the file).
base::result<values> load(std::shared_ptr<const schema> of, const sources& from);

/// A command line taken apart: `--config FILE`, the flags of settings (those with a dot in the name), and the rest.
struct split_arguments {
  std::optional<std::string> file;
  std::vector<std::string> settings;
  std::vector<std::string> rest;
};
/// Error: `--config` or a setting's flag without its value. Everything after "--" is rest.
base::result<split_arguments> split(const std::vector<std::string>& arguments);

}  // namespace fleet::config
