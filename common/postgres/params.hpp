// The parameters of a statement, in PostgreSQL's text format.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"

namespace fleet::postgres {

/// NULL elements are written as NULL.
std::string encode_array(const std::vector<std::optional<std::string>>& elements);

std::string encode(bool value);
std::string encode(std::int64_t value);
std::string encode(std::uint64_t value);
std::string encode(double value);
std::string encode(base::decimal value);
std::string encode(base::timestamp value);
/// Written by `base::write_json`. A number that JSON does not have is refused with `base::failure` (`invalid_input`).
std::string encode_json(const boost::json::object& value);
std::string encode_json(const boost::json::array& value);
std::string encode_json(const boost::json::value& value);

template <class T>
concept text_like = std::convertible_to<const T&, std::string_view>;
template <class T>
concept json_like =
    std::same_as<T, boost::json::object> || std::same_as<T, boost::json::array> || std::same_as<T, boost::json::value>;
template <class T>
concept scalar_like = std::same_as<T, bool> || std::integral<T> || std::floating_point<T> ||
    std::same_as<T, base::decimal> || std::same_as<T, base::timestamp>;

/// Parameters $1, $2, … in the order of adding. The server infers their types from the statement: cast there where it
/// cannot (`$1::bigint`). A text with a zero byte is refused with `base::failure` (`invalid_input`).
class params {
 public:
  params& add_null();
  template <scalar_like T>
  params& add(T value) {
    return push(encode_scalar(value));
  }
  template <text_like T>
  params& add(const T& value) {
    return push(std::string(std::string_view(value)));
  }
  template <class Tag>
  params& add(const base::string_id<Tag>& value) {
    return push(value.str());
  }
  params& add(base::message_id value) { return push(encode(base::to_int(value))); }
  params& add(std::nullopt_t) { return add_null(); }
  template <class T>
  params& add(const std::optional<T>& value) {
    return value ? add(*value) : add_null();
  }
  template <json_like T>
  params& add(const T& value) {
    return push(encode_json(value));
  }
  template <json_like T>
  params& add_json(const T& value) {
    return add(value);
  }
  /// An array of one dimension; elements may be optional.
  template <class T>
  params& add(const std::vector<T>& values) {
    std::vector<std::optional<std::string>> elements;
    elements.reserve(values.size());
    for (const auto& value : values) {
      params one;
      one.add(static_cast<const T&>(value));
      elements.push_back(std::move(one.values_.front()));
    }
    return push(encode_array(elements));
  }

  std::size_t size() const { return values_.size(); }
  const std::vector<std::optional<std::string>>& values() const { return values_; }

 private:
  template <class T>
  static std::string encode_scalar(T value) {
    if constexpr (std::same_as<T, bool> || std::same_as<T, base::decimal> || std::same_as<T, base::timestamp>) {
      return encode(value);
    } else if constexpr (std::floating_point<T>) {
      return encode(static_cast<double>(value));
    } else if constexpr (std::signed_integral<T>) {
      return encode(static_cast<std::int64_t>(value));
    } else {
      return encode(static_cast<std::uint64_t>(value));
    }
  }
  params& push(std::string text);

  std::vector<std::optional<std::string>> values_;
};

template <class... T>
params make_params(const T&... values) {
  params made;
  (made.add(values), ...);
  return made;
}

}  // namespace fleet::postgres
