// Routes: method and path pattern to handler.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/message.hpp"

namespace fleet::http {

/// May throw: `base::failure` becomes its problem, anything else a 500 that shows nothing.
using handler = std::function<boost::asio::awaitable<response>(request)>;

class router {
 public:
  /// `pattern` as "/v1/proposals/{id}/metrics": a parameter is one whole non-empty segment. A changing method (all but
  /// GET and HEAD) needs the bearer token where the server has one. The same route twice: `std::logic_error`.
  router& add(std::string_view method, std::string_view pattern, handler call);
  /// Every path below that nothing else matches ("/" + whatever), for static files.
  router& add_fallback(handler call);

  struct match {
    const handler* call = nullptr;             ///< null: not found, or not with this method
    std::string allow;                         ///< the methods this path has, where `call` is null: 405
    std::string pattern;                       ///< what matched, for metrics
    decltype(request::parameters) parameters;  ///< decoded
  };
  /// HEAD is answered by GET's handler. A path with a broken escape matches nothing. Literal segments win over
  /// parameters.
  match find(std::string_view method, std::string_view path) const;

 private:
  struct route {
    std::string method;
    std::string pattern;
    std::vector<std::string> segments;
    handler call;
  };
  std::vector<route> routes_;
  handler fallback_;
};

}  // namespace fleet::http
