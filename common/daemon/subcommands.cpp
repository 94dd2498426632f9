#include "common/daemon/subcommands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "common/base/text.hpp"
#include "common/config/load.hpp"

namespace fleet::daemon {
namespace {

/// How many leading words of the line name this command; 0: it is another one.
std::size_t words_matched(const subcommand& command, const std::vector<std::string>& words) {
  const auto name = base::split(command.name, ' ');
  const bool fits = words.size() >= name.size() && std::equal(name.begin(), name.end(), words.begin());
  return fits ? name.size() : 0;
}

/// What is wrong with the line, or empty.
std::string parse(const subcommand& command, const std::vector<std::string>& words, invocation& into) {
  bool only_operands = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto& word = words[i];
    if (only_operands || !word.starts_with("--")) {
      into.positionals.push_back(word);
      continue;
    }
    if (word == "--") {
      only_operands = true;
      continue;
    }
    const auto equals = word.find('=');
    const auto name = word.substr(2, equals == std::string::npos ? word.npos : equals - 2);
    if (name == "json" && command.prints_data && equals == std::string::npos) {
      into.json = true;
      continue;
    }
    const auto known = std::find_if(command.options.begin(), command.options.end(),
                                    [&](const auto& option) { return option.name == name; });
    if (known == command.options.end()) {
      std::vector<std::string> names{"help"};
      if (command.prints_data) names.emplace_back("json");
      for (const auto& option : command.options) names.push_back(option.name);
      const auto near = config::nearest(name, names);
      return fmt::format("unknown option --{}{}", name, near.empty() ? "" : fmt::format("; did you mean --{}?", near));
    }
    if (known->value_name.empty() != (equals == std::string::npos) && known->value_name.empty())
      return fmt::format("--{} takes no value", name);
    std::string value;
    if (!known->value_name.empty()) {
      if (equals == std::string::npos && i + 1 == words.size())
        return fmt::format("--{} needs a value: {}", name, known->value_name);
      value = equals == std::string::npos ? words[++i] : word.substr(equals + 1);
    }
    into.options.insert_or_assign(name, std::move(value));
  }
  if (into.positionals.size() < command.min_operands) return fmt::format("expected: {}", command.operands);
  if (into.positionals.size() > command.max_operands)
    return fmt::format("unexpected argument '{}'", into.positionals[command.max_operands]);
  return {};
}

}  // namespace

std::string invocation::option(std::string_view name, std::string fallback) const {
  const auto found = options.find(name);
  return found == options.end() ? fallback : found->second;
}

command_table::command_table(std::string program, std::string sentence, std::string version)
    : program_(std::move(program)), sentence_(std::move(sentence)), version_(std::move(version)) {}

command_table& command_table::add(subcommand what) {
  commands_.push_back(std::move(what));
  return *this;
}

int command_table::run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) const {
  const auto usage_error = [&](const std::string& text, const std::string& see) {
    err << program_ << ": " << text << "\nsee: " << program_ << see << " --help\n";
    return exit_usage;
  };
  const auto parts = config::split(arguments);
  if (!parts) return usage_error(parts.error().message, "");
  const auto& words = parts->rest;
  const auto end = std::find(words.begin(), words.end(), "--");
  const bool wants_help = std::find(words.begin(), end, "--help") != end;
  if (std::find(words.begin(), end, "--version") != end) {
    out << program_ << ' ' << version_ << '\n';
    return exit_done;
  }
  const subcommand* chosen = nullptr;
  std::size_t matched = 0;
  for (const auto& command : commands_) {
    const auto length = words_matched(command, words);
    if (length <= matched) continue;
    matched = length;
    chosen = &command;
  }
  if (chosen == nullptr) {
    if (wants_help && (words.front() == "--help" || words.front() == "help")) {
      out << help();
      return exit_done;
    }
    if (words.empty()) return usage_error("expected a command", "");
    std::vector<std::string> names;
    for (const auto& command : commands_) names.push_back(command.name);
    const bool two_words = words.size() > 1 && !words[1].starts_with("--");
    auto near = config::nearest(words.front(), names);
    if (near.empty() && two_words) near = config::nearest(words[0] + " " + words[1], names);
    return usage_error(fmt::format("unknown command '{}'{}", words.front(),
                                   near.empty() ? "" : fmt::format("; did you mean '{}'?", near)),
                       "");
  }
  if (wants_help) {
    out << help(*chosen);
    return exit_done;
  }
  invocation call;
  call.config_file = parts->file;
  call.settings = parts->settings;
  call.out = &out;
  call.err = &err;
  const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(matched), words.end());
  if (const auto wrong = parse(*chosen, rest, call); !wrong.empty()) return usage_error(wrong, " " + chosen->name);
  try {
    return chosen->handler(call);
  } catch (const std::exception& failed) {
    err << program_ << ": " << base::mask_secrets(failed.what()) << '\n';
    return exit_refused;
  }
}

std::string command_table::help() const {
  std::size_t width = 0;
  const auto usage = [](const subcommand& of) { return of.operands.empty() ? of.name : of.name + " " + of.operands; };
  for (const auto& command : commands_) width = std::max(width, usage(command).size());
  auto text = fmt::format("{} - {}\n\nusage: {} COMMAND [--config FILE] [--section.name=value ...]\n\n", program_,
                          sentence_, program_);
  for (const auto& command : commands_) text += fmt::format("  {:<{}}  {}\n", usage(command), width, command.sentence);
  text += fmt::format("\n{} COMMAND --help shows a command's options; --version the version.\n", program_);
  text += "Exit status: 0 done, 1 refused or failed, 2 usage or configuration.\n";
  return text;
}

std::string command_table::help(const subcommand& of) const {
  auto text =
      fmt::format("{} {}{}{} - {}\n", program_, of.name, of.operands.empty() ? "" : " ", of.operands, of.sentence);
  auto options = of.options;
  if (of.prints_data) options.push_back({"json", "", "print JSON"});
  options.push_back({"config", "FILE", "the configuration file"});
  options.push_back({"section.name", "VALUE", "any setting of the file"});
  text += '\n';
  for (const auto& option : options) {
    const auto left = fmt::format("--{}{}{}", option.name, option.value_name.empty() ? "" : " ", option.value_name);
    text += fmt::format("  {:<28}  {}\n", left, option.sentence);
  }
  return text;
}

}  // namespace fleet::daemon
