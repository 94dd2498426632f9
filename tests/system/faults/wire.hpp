// Just enough of the PostgreSQL protocol (version 3) for the proxy: where messages begin and end, and which are of
// interest.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fleet::test::faults {

struct wire_message {
  char type = 0;          ///< 0: the client's first message, which has none
  std::size_t begin = 0;  ///< in the chunk that completed it; 0 where it began in an earlier one
  std::string head;       ///< the first bytes of its body
};

/// Follows one direction of a session without TLS, however its bytes are cut into chunks.
class message_scanner {
 public:
  /// `from_client`: the first message is the startup message, which has no type.
  explicit message_scanner(bool from_client) : untyped_(from_client) {}
  /// The messages that this chunk completes, in order.
  std::vector<wire_message> feed(std::string_view chunk);

 private:
  bool untyped_;
  std::string header_;         ///< of the message under way, as far as it has come
  std::size_t remaining_ = 0;  ///< bytes of its body still to come
  bool in_body_ = false;
  wire_message current_;
};

/// The server says that a transaction was committed.
bool is_commit_reply(const wire_message& from_server);
/// The client asks to be notified.
bool is_listen(const wire_message& from_client);

}  // namespace fleet::test::faults
