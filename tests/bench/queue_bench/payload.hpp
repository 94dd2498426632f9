// The message that every queue carries: a JSON object of 425 bytes with a number, by which its delay is found again,
// and an ordering key.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace fleet::bench {

/// How a call is given its messages.
enum class encoding {
  object,  ///< one message as it is
  array,   ///< a PostgreSQL array of them
  copy,    ///< lines of COPY with a stream_id of 1 before each body
};

/// The text of a call of `count` messages, made once and numbered anew for each call: the client's own work is next to
/// nothing.
class payload {
 public:
  payload(encoding how, int count);
  /// Numbers the messages first, first + 1, …
  const std::string& numbered(long first);
  /// The ordering key of the first message as it is numbered.
  std::string key() const;
  /// Those of all messages, as a PostgreSQL array.
  std::string keys() const;

 private:
  std::string text_;
  std::vector<std::size_t> numbers_;  ///< where the numbers stand
  std::vector<std::size_t> keys_;
};

/// The number as it stands in the body.
long number_of(long message);

/// The number in a body that came back; spaces after the colon, as jsonb writes them, are allowed. Throws where there
/// is none.
long number_in(const char* body);

}  // namespace fleet::bench
