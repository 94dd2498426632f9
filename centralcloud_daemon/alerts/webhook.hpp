// One JSON document, posted to a URL: http or https.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::central::alerts {

struct webhook_target {
  bool secure = false;
  std::string host;
  std::string port;
  std::string authority;  ///< host, and port where the URL has one: for the header
  std::string path;       ///< with the query
};
/// "https://alerts.example/hook?team=1". Error `invalid_input`.
base::result<webhook_target> parse_webhook_url(std::string_view url);

/// Done with any 2xx. With https the certificate must be valid for the host, by the system's authorities. Errors:
/// `invalid_input` (the URL), `unavailable` (no answer, or another status), `timeout` (for all of it).
boost::asio::awaitable<base::result<void>> post_webhook(std::string url, std::string body,
                                                        std::chrono::milliseconds timeout);

}  // namespace fleet::central::alerts
