// The command line of a daemon: a table of subcommands with their help.
#pragma once
#include <cstddef>
#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fleet::daemon {

inline constexpr int exit_done = 0;
inline constexpr int exit_refused = 1;  ///< refused or failed
inline constexpr int exit_usage = 2;    ///< usage or configuration

struct command_option {
  std::string name;        ///< "reason", for --reason
  std::string value_name;  ///< "TEXT"; empty: a switch
  std::string sentence;
};

/// What was typed after the subcommand's name.
struct invocation {
  std::vector<std::string> positionals;
  std::map<std::string, std::string, std::less<>> options;  ///< a switch holds ""
  std::optional<std::string> config_file;                   ///< --config FILE
  std::vector<std::string> settings;  ///< flags of settings (`--log.level=debug`), for config::load
  bool json = false;                  ///< --json
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;

  bool has(std::string_view option) const { return options.find(option) != options.end(); }
  std::string option(std::string_view name, std::string fallback = {}) const;
};

struct subcommand {
  std::string name;      ///< may be two words: "dlq list"
  std::string operands;  ///< "PROPOSAL approve|reject"
  std::string sentence;
  std::function<int(const invocation&)> handler;
  std::size_t min_operands = 0;
  std::size_t max_operands = 0;
  bool prints_data = false;  ///< takes --json
  std::vector<command_option> options = {};
};

/// Runs the subcommand named in `arguments` (without the program's name) and returns the exit code. `--help` (also
/// "COMMAND --help") and `--version` go to `out`; a usage error goes to `err`, with a suggestion, and gives 2. A
/// handler that throws gives 1 and its message.
class command_table {
 public:
  command_table(std::string program, std::string sentence, std::string version);
  command_table& add(subcommand what);
  int run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) const;
  std::string help() const;
  std::string help(const subcommand& of) const;

 private:
  std::string program_;
  std::string sentence_;
  std::string version_;
  std::vector<subcommand> commands_;
};

}  // namespace fleet::daemon
