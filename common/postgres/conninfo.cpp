#include "common/postgres/conninfo.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "common/base/text.hpp"
#include "common/postgres/error.hpp"
#include "common/postgres/libpq.hpp"

namespace fleet::postgres {
namespace {

struct options_free {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

std::string at_or_only(const std::vector<std::string>& list, std::size_t index) {
  if (list.empty()) return {};
  return list.size() == 1 ? list.front() : index < list.size() ? list[index] : std::string();
}

}  // namespace

std::vector<std::pair<std::string, std::string>> conninfo::as_written(const std::string& url) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, options_free> parsed(PQconninfoParse(url.c_str(), &message));
  if (!parsed) {
    sql_error_parts parts;
    parts.kind = sql_kind::invalid_input;
    parts.doing = "reading the connection string " + base::mask_secrets(url);
    parts.message = message == nullptr ? "out of memory" : base::mask_secrets(base::trim(message));
    PQfreemem(message);
    throw sql_error(std::move(parts));
  }
  std::vector<std::pair<std::string, std::string>> written;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) written.emplace_back(option->keyword, option->val);
  }
  return written;
}

conninfo::conninfo(const settings& how) : options_(as_written(how.url)), host_timeout_(how.connect_timeout) {
  const auto* names = find("host");
  const auto* addresses = find("hostaddr");
  const auto* ports = find("port");
  const auto name_list = names != nullptr ? base::split(*names, ',') : std::vector<std::string>();
  const auto address_list = addresses != nullptr ? base::split(*addresses, ',') : std::vector<std::string>();
  const auto port_list = ports != nullptr ? base::split(*ports, ',') : std::vector<std::string>();
  for (std::size_t i = 0; i < std::max(name_list.size(), address_list.size()); ++i) {
    hosts_.push_back({i < name_list.size() ? name_list[i] : std::string(),
                      i < address_list.size() ? address_list[i] : std::string(), at_or_only(port_list, i)});
  }
  if (const auto* seconds = find("connect_timeout")) {
    const int value = std::atoi(seconds->c_str());
    if (value > 0) host_timeout_ = std::chrono::seconds(value);
  }
  // Several hosts are one database and its standbys: everything here writes.
  if (hosts_.size() > 1) add_default("target_session_attrs", "read-write");
  if (!how.application_name.empty()) add_default("application_name", how.application_name);
  // A peer that vanished without a word is noticed within half a minute.
  add_default("keepalives_idle", "15");
  add_default("keepalives_interval", "5");
  add_default("keepalives_count", "3");
  add_default("tcp_user_timeout", "20000");
  std::erase_if(options_, [](const auto& option) { return option.first == "client_encoding"; });
  options_.emplace_back("client_encoding", "UTF8");
}

const std::string* conninfo::find(std::string_view keyword) const {
  const auto at =
      std::find_if(options_.begin(), options_.end(), [&](const auto& option) { return option.first == keyword; });
  return at == options_.end() ? nullptr : &at->second;
}

void conninfo::add_default(const std::string& keyword, const std::string& value) {
  if (find(keyword) == nullptr) options_.emplace_back(keyword, value);
}

std::size_t conninfo::index_of(std::string_view name, std::string_view port,
                               const std::set<std::size_t>& skipped) const {
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    const auto& one = hosts_[i];
    const bool same_host = one.name.empty() ? one.address == name : one.name == name;
    const bool same_port = one.port == port || one.port.empty();
    if (same_host && same_port && skipped.count(i) == 0) return i;
  }
  return 0;
}

std::vector<std::pair<std::string, std::string>> conninfo::options(const std::set<std::size_t>& skipped) const {
  if (skipped.empty()) return options_;
  std::string names;
  std::string addresses;
  std::string ports;
  bool first = true;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (skipped.count(i) != 0) continue;
    const char* comma = first ? "" : ",";
    names += comma + hosts_[i].name;
    addresses += comma + hosts_[i].address;
    ports += comma + hosts_[i].port;
    first = false;
  }
  auto reduced = options_;
  for (auto& [keyword, value] : reduced) {
    if (keyword == "host") value = names;
    if (keyword == "hostaddr") value = addresses;
    if (keyword == "port") value = ports;
  }
  return reduced;
}

std::string conninfo::names() const {
  std::string text;
  for (const auto& host : hosts_) {
    text += fmt::format("{}{}{}{}", text.empty() ? "" : ", ", host.name.empty() ? host.address : host.name,
                        host.port.empty() ? "" : ":", host.port);
  }
  return text.empty() ? "the default host" : text;
}

}  // namespace fleet::postgres
