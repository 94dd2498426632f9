#include "tests/system/faults/wire.hpp"

#include <algorithm>

namespace fleet::test::faults {

namespace {

constexpr std::size_t head_bytes = 512;  // a statement's name and the beginning of its text

std::size_t length_of(std::string_view four_bytes) {
  std::size_t value = 0;
  for (const char c : four_bytes) value = value << 8U | static_cast<unsigned char>(c);
  return value;
}

}  // namespace

std::vector<wire_message> message_scanner::feed(std::string_view chunk) {
  std::vector<wire_message> complete;
  std::size_t at = 0;
  while (at < chunk.size()) {
    if (!in_body_) {
      const std::size_t header_size = untyped_ ? 4 : 5;
      if (header_.empty()) {
        current_ = {};
        current_.begin = at;
      }
      const auto take = std::min(header_size - header_.size(), chunk.size() - at);
      header_.append(chunk.substr(at, take));
      at += take;
      if (header_.size() < header_size) break;
      if (!untyped_) current_.type = header_.front();
      const auto length = length_of(std::string_view(header_).substr(header_size - 4));
      remaining_ = length < 4 ? 0 : length - 4;
      in_body_ = true;
    }
    const auto take = std::min(remaining_, chunk.size() - at);
    const auto kept = std::min(take, head_bytes - std::min(head_bytes, current_.head.size()));
    current_.head.append(chunk.substr(at, kept));
    at += take;
    remaining_ -= take;
    if (remaining_ > 0) break;
    complete.push_back(current_);
    header_.clear();
    in_body_ = false;
    untyped_ = false;
  }
  // What goes on in the next chunk began before it.
  current_.begin = 0;
  return complete;
}

bool is_commit_reply(const wire_message& from_server) {
  return from_server.type == 'C' && from_server.head == std::string_view("COMMIT\0", 7);
}

bool is_listen(const wire_message& from_client) {
  // Q: the text; P: a statement's name, then the text.
  auto text = std::string_view(from_client.head);
  if (from_client.type == 'P') {
    const auto end_of_name = text.find('\0');
    text = end_of_name == std::string_view::npos ? std::string_view() : text.substr(end_of_name + 1);
  } else if (from_client.type != 'Q') {
    return false;
  }
  return text.starts_with("listen ") || text.starts_with("LISTEN ");
}

}  // namespace fleet::test::faults
