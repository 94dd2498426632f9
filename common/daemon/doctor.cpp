#include "common/daemon/doctor.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <exception>
#include <optional>
#include <ostream>
#include <utility>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/http/client.hpp"
#include "common/http/server.hpp"

namespace fleet::daemon {
namespace {

using base::finding;
using base::grade;

constexpr std::chrono::milliseconds answer_limit{3'000};
/// A check that hangs in spite of its own limits must not keep a person, or a script, waiting for ever.
constexpr std::chrono::seconds examination_limit{60};

std::size_t count(const std::vector<finding>& all, grade of) {
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [of](const finding& each) { return each.found == of; }));
}

std::string on_one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return base::mask_secrets(base::printable(text));
}

void print_text(std::ostream& out, const std::vector<finding>& all) {
  std::size_t width = 0;
  for (const auto& each : all) width = std::max(width, each.check.size());
  for (const auto& each : all) {
    out << fmt::format("{:<4}  {:<{}}  {}\n", base::to_string(each.found), each.check, width, on_one_line(each.text));
    if (!each.advice.empty()) out << fmt::format("{:>{}}→ {}\n", "", width + 8, on_one_line(each.advice));
  }
  const auto failed = count(all, grade::fail);
  const auto warned = count(all, grade::warn);
  out << fmt::format("\n{} checks: {} failed, {} to look at\n", all.size(), failed, warned);
}

void print_json(std::ostream& out, const std::vector<finding>& all) {
  boost::json::array checks;
  for (const auto& each : all) {
    boost::json::object row;
    row["check"] = each.check;
    row["status"] = base::to_string(each.found);
    row["text"] = on_one_line(each.text);
    if (!each.advice.empty()) row["advice"] = on_one_line(each.advice);
    checks.push_back(std::move(row));
  }
  boost::json::object answer;
  answer["ok"] = count(all, grade::fail) == 0;
  answer["checks"] = std::move(checks);
  out << base::write_json(answer) << '\n';
}

/// The file holds a secret only where something that is never shown was written into it.
bool holds_secret(const config::values& all, const std::string& file) {
  return std::any_of(all.all().begin(), all.all().end(), [&](const auto& entry) {
    const auto* what = all.of().find(entry.first);
    return what != nullptr && entry.second.from.kind == config::origin_kind::file &&
           entry.second.from.where.starts_with(file) && config::shown(*what, entry.second.text) != entry.second.text;
  });
}

std::vector<finding> examine_files(const examination& more, const invocation& call, const config::values& all) {
  std::vector<finding> found;
  if (call.config_file && holds_secret(all, *call.config_file))
    found.push_back(examine_file("configuration file", *call.config_file));
  const auto& token = all.get_string("http.token_file");
  if (!token.empty()) found.push_back(examine_file("token file", token));
  const auto listen = more.listen_setting.empty() ? std::string() : all.get_string(more.listen_setting);
  if (listen.empty()) return found;
  if (const auto allowed = http::check_address(listen, !token.empty()); !allowed)
    found.push_back(
        base::failed("address", allowed.error().message,
                     "set http.token_file (under systemd: the credential http_token), or mend " + more.listen_setting));
  return found;
}

std::vector<finding> run_examination(const examination& more, const config::values& all) {
  boost::asio::io_context io;
  std::optional<std::vector<finding>> found;
  std::exception_ptr thrown;
  boost::asio::co_spawn(io, more.examine(all), [&](std::exception_ptr failure, std::vector<finding> answer) {
    thrown = failure;
    found = std::move(answer);
  });
  io.run_for(examination_limit);
  if (!found)
    return {base::failed("doctor", fmt::format("not all was looked at within {} s", examination_limit.count()), "")};
  if (!thrown) return std::move(*found);
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& failure) {
    return {base::failed("doctor", failure.what(), "")};
  }
}

std::vector<finding> examine_all(const service& what, const examination& more, const invocation& call) {
  const auto from = call.config_file.value_or("no file: defaults, environment and flags");
  const auto all = load_values(what.schema, call);
  const auto checked = all ? what.check(*all) : base::result<void>(all.error());
  if (!checked)
    return {base::failed("configuration", checked.error().message,
                         "mend it and run this again: nothing else can be looked at before")};
  std::vector<finding> found{base::passed("configuration", from)};
  auto files = examine_files(more, call, *all);
  found.insert(found.end(), files.begin(), files.end());
  const auto address = more.address_of(*all);
  if (!address.empty()) found.push_back(examine_process(address));
  auto rest = run_examination(more, *all);
  found.insert(found.end(), rest.begin(), rest.end());
  return found;
}

std::string text_in(const boost::json::value& object, std::string_view key) {
  const auto* fields = object.if_object();
  const auto* found = fields == nullptr ? nullptr : fields->if_contains(key);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

/// What is missing with its reason. Without the database no worker works: then they are only counted.
std::string missing_conditions(const http::client_response& answer) {
  const auto body = base::parse_json_object(answer.body);
  const auto* missing = body ? body->if_contains("missing") : nullptr;
  if (missing == nullptr || !missing->is_array()) return {};
  const auto& all = missing->get_array();
  const bool no_database =
      std::any_of(all.begin(), all.end(), [](const auto& each) { return text_in(each, "name") == "database"; });
  std::vector<std::string> parts;
  std::size_t waiting = 0;
  for (const auto& each : all) {
    const auto name = text_in(each, "name");
    const auto reason = text_in(each, "reason");
    if (no_database && name.starts_with("worker ")) {
      ++waiting;
    } else {
      parts.push_back(reason.empty() ? name : fmt::format("{}: {}", name, reason));
    }
  }
  if (waiting > 0) parts.push_back(fmt::format("{} workers wait for it", waiting));
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

base::finding examine_file(const std::string& check, const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || ::access(path.c_str(), R_OK) != 0)
    return base::failed(check, path + " cannot be read by this user", "let the daemon's user read it");
  const auto mode = info.st_mode & 07777U;
  const auto text = fmt::format("{} has mode {:04o}", path, mode);
  if ((mode & 022U) != 0)
    return base::warned(check, text + ": others than its owner may change it", "chmod go-w " + path);
  if ((mode & 04U) != 0) return base::warned(check, text + ": everybody may read its secret", "chmod o-rwx " + path);
  return base::passed(check, text);
}

base::finding examine_process(const std::string& address) {
  const std::string check = "process";
  const auto to = http::endpoint::parse(address);
  if (!to) return base::failed(check, to.error().message, "mend the setting");
  http::client_request request;
  request.to = *to;
  request.target = "/readyz";
  request.timeout = answer_limit;
  const auto answer = http::call_blocking(std::move(request));
  if (!answer && answer.error().kind == base::error_kind::timeout)
    return base::failed(check, "somebody takes connections at " + address + " and does not answer",
                        "look at its log; a daemon that hangs is ended by the service manager's watchdog");
  if (!answer) return base::warned(check, "does not run: " + answer.error().message, "start it, if it should run");
  const auto body = base::parse_json_object(answer->body);
  if (!body || !body->contains("ready"))
    return base::failed(check, "another program answers at " + address, "end that, or choose another address");
  if (answer->status == 200) return base::passed(check, "runs and is ready at " + address);
  return base::warned(check, fmt::format("runs at {} and is not ready: {}", address, missing_conditions(*answer)),
                      "what follows may say why; its log does");
}

void add_doctor_command(command_table& to, const service& what, examination more) {
  subcommand one;
  one.name = "doctor";
  one.sentence = "Looks at everything that " + what.role + " needs, and says what to do where something is wrong.";
  one.handler = [what, more = std::move(more)](const invocation& call) {
    const auto all = examine_all(what, more, call);
    if (call.json) {
      print_json(*call.out, all);
    } else {
      print_text(*call.out, all);
    }
    return count(all, grade::fail) == 0 ? exit_done : exit_refused;
  };
  one.prints_data = true;
  to.add(std::move(one));
}

}  // namespace fleet::daemon
