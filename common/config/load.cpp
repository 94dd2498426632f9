#include "common/config/load.hpp"

#include <fmt/format.h>

#include <boost/program_options/cmdline.hpp>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "common/base/text.hpp"
#include "common/config/ini.hpp"

namespace fleet::config {
namespace {

constexpr std::size_t max_file_bytes = 1024 * 1024;
constexpr std::size_t max_credential_bytes = 64 * 1024;

/// Gathers values from the weakest source to the strongest, and every problem on the way.
class loader {
 public:
  loader(std::shared_ptr<const schema> of, const sources& from) : schema_(std::move(of)), from_(from) {}

  base::result<values> run() {
    read_defaults();
    read_file();
    read_credentials();
    read_environment();
    read_flags();
    for (const auto& what : schema_->settings()) {
      const auto held = all_.find(what.key);
      if (what.required && held != all_.end() && held->second.text.empty() && !failed(what.key))
        complain_of_missing(what, held->second.from);
    }
    if (problems_.empty()) return values(schema_, std::move(all_));
    base::error failed_load{base::error_kind::invalid_input, {}, std::move(problems_)};
    for (const auto& problem : failed_load.fields) {
      if (!failed_load.message.empty()) failed_load.message += '\n';
      failed_load.message += problem.message;
    }
    return failed_load;
  }

 private:
  void read_defaults() {
    for (const auto& what : schema_->settings()) {
      if (what.key.ends_with(".*")) continue;
      all_[what.key] = {what.fallback, {origin_kind::fallback, "default"}};
      if (what.general_environment.empty()) continue;
      if (const auto text = from_.environment(what.general_environment); text && !text->empty())
        take(what, what.key, *text, {origin_kind::general_environment, what.general_environment});
    }
  }

  void read_file() {
    if (from_.file.empty()) return;
    std::ifstream file(from_.file, std::ios::binary);
    std::string text(max_file_bytes + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file.is_open() || file.bad()) return complain(from_.file, "", "cannot read this file");
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > max_file_bytes) return complain(from_.file, "", "the file has more than 1 MiB");
    const auto document = parse_ini(text);
    for (const auto& problem : document.problems)
      complain(fmt::format("{}:{}", from_.file, problem.line), "", problem.message);
    std::map<std::string, std::size_t> lines;
    for (const auto& entry : document.entries) {
      const auto where = fmt::format("{}:{}", from_.file, entry.line);
      const auto* what = known(entry.key, where);
      if (what == nullptr) continue;
      if (const auto [first, is_new] = lines.emplace(entry.key, entry.line); !is_new) {
        complain(where, entry.key, fmt::format("this key is in line {} already", first->second));
        continue;
      }
      take(*what, entry.key, entry.value, {origin_kind::file, where});
    }
  }

  /// As systemd's LoadCredential= hands them over, and `docker run` with CREDENTIALS_DIRECTORY=/run/secrets.
  void read_credentials() {
    const auto directory = from_.environment("CREDENTIALS_DIRECTORY");
    if (!directory || directory->empty()) return;
    for (const auto& what : schema_->settings()) {
      if (what.credential.empty()) continue;
      const auto path = *directory + "/" + what.credential;
      std::error_code ec;
      if (!std::filesystem::exists(path, ec)) continue;
      const origin from{origin_kind::credential, "credential " + what.credential};
      if (what.type == value_type::string) {
        take(what, what.key, path, from);
      } else if (const auto line = first_line(path)) {
        take(what, what.key, *line, from);
      } else {
        complain(from.where, what.key, "cannot read a line of " + path);
      }
    }
  }

  static std::optional<std::string> first_line(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(max_credential_bytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    const std::string line(base::trim(text.substr(0, text.find('\n'))));
    return line.empty() ? std::nullopt : std::optional(line);
  }

  void read_environment() {
    for (const auto& what : schema_->settings()) {
      if (what.environment.empty()) continue;
      if (const auto text = from_.environment(what.environment); text && !text->empty())
        take(what, what.key, *text, {origin_kind::environment, what.environment});
    }
  }

  void read_flags() {
    namespace po = boost::program_options;
    po::options_description accepted;
    for (const auto& what : schema_->settings())
      accepted.add_options()(what.key.c_str(), po::value<std::string>(), what.sentence.c_str());
    namespace style = po::command_line_style;
    // The parser takes no empty value, which a setting may well have.
    std::vector<std::string> with_value;
    for (const auto& argument : from_.arguments) {
      if (argument.starts_with("--") && argument.find('=') == argument.size() - 1)
        read_flag(argument.substr(2, argument.size() - 3), {argument}, {});
      else
        with_value.push_back(argument);
    }
    constexpr int long_only = style::allow_long | style::long_allow_adjacent | style::long_allow_next;
    try {
      const auto parsed =
          po::command_line_parser(with_value).options(accepted).style(long_only).allow_unregistered().run();
      for (const auto& option : parsed.options) read_flag(option.string_key, option.original_tokens, option.value);
    } catch (const po::error& wrong) {
      complain("command line", "", wrong.what());
    }
  }

  void read_flag(const std::string& key, const std::vector<std::string>& tokens,
                 const std::vector<std::string>& texts) {
    if (key.empty() || tokens.empty()) {
      complain("command line", "", fmt::format("unexpected argument '{}'", tokens.empty() ? "" : tokens.front()));
      return;
    }
    const auto where = "--" + key;
    if (const auto* what = known(key, where))
      take(*what, key, texts.empty() ? "" : texts.front(), {origin_kind::flag, where});
  }

  const setting* known(const std::string& key, const std::string& where) {
    const auto* what = schema_->find(key);
    if (what != nullptr) return what;
    const auto near = schema_->suggest(key);
    complain(where, key, near.empty() ? "unknown key" : fmt::format("unknown key; did you mean {}?", near));
    return nullptr;
  }

  void take(const setting& what, const std::string& key, const std::string& text, origin from) {
    // An empty required value is judged at the end: a stronger source may still fill it.
    if (const auto wrong = text.empty() && what.required ? "" : check_value(what, text); !wrong.empty()) {
      complain(from.where, key, fmt::format("{}, got '{}'", wrong, shown(what, base::abbreviate(text, 80))));
      return;
    }
    all_[key] = {text, std::move(from)};
  }

  void complain(const std::string& where, const std::string& key, const std::string& message) {
    const bool same = where == "--" + key;
    problems_.push_back({key, fmt::format("{}: {}{}", where, key.empty() || same ? "" : key + ": ", message)});
  }

  bool failed(const std::string& key) const {
    return std::any_of(problems_.begin(), problems_.end(), [&](const auto& problem) { return problem.field == key; });
  }

  void complain_of_missing(const setting& what, const origin& from) {
    std::string message = "a value is required, in the file that --config names";
    if (!what.environment.empty()) message += ", or from the environment (" + what.environment + ")";
    if (!what.credential.empty()) message += ", or as a credential (" + what.credential + ")";
    if (from.kind != origin_kind::fallback) return complain(from.where, what.key, message);
    problems_.push_back({what.key, what.key + ": " + message});
  }

  std::shared_ptr<const schema> schema_;
  const sources& from_;
  std::map<std::string, value, std::less<>> all_;
  std::vector<base::field_error> problems_;
};

}  // namespace

environment_lookup process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* text = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nothing here changes it
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
  };
}

base::result<values> load(std::shared_ptr<const schema> of, const sources& from) {
  return loader(std::move(of), from).run();
}

base::result<split_arguments> split(const std::vector<std::string>& arguments) {
  split_arguments parts;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    if (argument == "--") {
      parts.rest.insert(parts.rest.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
      break;
    }
    const auto name = std::string_view(argument).substr(0, argument.find('='));
    const bool is_file = name == "--config";
    const bool is_setting = name.starts_with("--") && name.find('.') != std::string_view::npos;
    if (!is_file && !is_setting) {
      parts.rest.push_back(argument);
      continue;
    }
    std::string text;
    if (name.size() < argument.size()) {
      text = argument.substr(name.size() + 1);
    } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
      text = arguments[++i];
    } else {
      return base::invalid_fields({{std::string(name), "expected a value"}});
    }
    if (is_file) {
      parts.file = text;
    } else {
      parts.settings.push_back(fmt::format("{}={}", name, text));
    }
  }
  return parts;
}

}  // namespace fleet::config
