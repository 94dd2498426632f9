#include "tests/support/http_service.hpp"

#include <boost/asio/post.hpp>
#include <stdexcept>
#include <utility>

namespace fleet::test {

http_service::http_service() : work_(io_.get_executor()) {
  answer("", "text/plain");
  http::router routes;
  routes.add_fallback([this](http::request) -> boost::asio::awaitable<http::response> {
    ++asked_;
    const std::lock_guard locked(guard_);
    co_return answer_;
  });
  http::server_options options;
  options.listen = "127.0.0.1:0";
  server_ = std::make_unique<http::server>(io_.get_executor(), std::move(options), std::move(routes),
                                           telemetry::logger::none(), metrics_);
  const auto started = server_->start();
  if (!started) throw std::runtime_error("no service: " + started.error().message);
  thread_ = std::thread([this] { io_.run(); });
}

http_service::~http_service() {
  boost::asio::post(io_, [this] {
    server_->stop();
    work_.reset();
  });
  thread_.join();
}

void http_service::answer(const std::string& body, const std::string& content_type, unsigned status) {
  const std::lock_guard locked(guard_);
  answer_ = http::text_response(status, body, content_type);
}

std::string http_service::url(const std::string& path) const {
  return "http://127.0.0.1:" + std::to_string(server_->port()) + path;
}

}  // namespace fleet::test
