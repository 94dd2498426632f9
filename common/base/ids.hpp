// Strong ids: strings and numbers that cannot be mistaken for each other.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace fleet::base {

/// A string that names one kind of thing. Not validated here: see `is_valid_id` in text.hpp.
template <class Tag>
class string_id {
 public:
  string_id() = default;
  explicit string_id(std::string value) : value_(std::move(value)) {}
  const std::string& str() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const string_id&) const = default;

 private:
  std::string value_;
};

using proposal_id = string_id<struct proposal_id_tag>;
using instance_id = string_id<struct instance_id_tag>;

/// The id of a message in the queue layer: unique in one database, no order across streams.
enum class message_id : std::int64_t {};
inline std::int64_t to_int(message_id id) {
  return static_cast<std::int64_t>(id);
}

/// A random (version 4) UUID in its 36-character form.
std::string new_uuid();

}  // namespace fleet::base

template <class Tag>
struct std::hash<fleet::base::string_id<Tag>> {
  std::size_t operator()(const fleet::base::string_id<Tag>& id) const { return std::hash<std::string>{}(id.str()); }
};
