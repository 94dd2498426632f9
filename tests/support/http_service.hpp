// A service that answers over HTTP, in a thread of its own: what an agent or a coordinator asks for figures.
#pragma once
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/http/server.hpp"

namespace fleet::test {

/// Answers every GET the same, until it is told to answer otherwise.
class http_service {
 public:
  http_service();
  ~http_service();
  http_service(const http_service&) = delete;
  http_service& operator=(const http_service&) = delete;

  void answer(const std::string& body, const std::string& content_type, unsigned status = 200);
  std::string url(const std::string& path = "/figures") const;
  int times_asked() const { return asked_; }

 private:
  std::mutex guard_;
  http::response answer_;
  std::atomic<int> asked_{0};
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  telemetry::metrics metrics_;
  std::unique_ptr<http::server> server_;
  std::thread thread_;
};

}  // namespace fleet::test
