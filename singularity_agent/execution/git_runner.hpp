// Runs git in one repository so that neither the user's settings nor the environment change what it does.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::agent::execution {

struct git_call {
  std::vector<std::string> arguments;
  std::string input = {};                    ///< standard input
  std::filesystem::path index = {};          ///< not empty: instead of the repository's index
  std::filesystem::path work_tree = {};      ///< not empty: instead of the repository's work tree; it is run there
  std::filesystem::path git_directory = {};  ///< needed with `work_tree`
  std::size_t max_output_bytes = 64U << 20;
};

struct git_answer {
  int exit_code = 0;
  std::string output;
  std::string complaint;  ///< standard error
};

struct git_runner_options {
  std::filesystem::path repository;
  std::string author_name;
  std::string author_email;
  std::chrono::milliseconds timeout{60'000};
};

/// Only the repository's own configuration counts, without its hooks, signatures, editors and prompts. Every file that
/// a commit consists of is on the disk when git returns.
class git_runner {
 public:
  explicit git_runner(git_runner_options options);

  /// Any exit code is a value. Errors: `unavailable` (could not be started, ended by a signal, printed more than
  /// fits), `timeout`.
  boost::asio::awaitable<base::result<git_answer>> run(git_call call) const;
  /// Standard output. Another exit than 0 is an error `internal` that says what was being done.
  boost::asio::awaitable<base::result<std::string>> output(git_call call) const;
  /// The same, without white space at its ends: a name or an id.
  boost::asio::awaitable<base::result<std::string>> word(git_call call) const;

  const std::filesystem::path& repository() const { return options_.repository; }

 private:
  git_runner_options options_;
  std::vector<std::string> prefix_;
};

}  // namespace fleet::agent::execution
