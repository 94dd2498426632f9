// The rows that a statement gave, read with types.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"

struct pg_result;  // libpq's PGresult

namespace fleet::postgres {

/// The elements of an array literal of one dimension. Error: `invalid_input`.
base::result<std::vector<std::optional<std::string>>> parse_array(std::string_view text);

/// `decode` of each type: what was expected ("a whole number") where the text is not one.
struct decoding {
  static base::result<void> read(std::string_view text, bool& out);
  static base::result<void> read(std::string_view text, std::int64_t& out);
  static base::result<void> read(std::string_view text, std::int32_t& out);
  static base::result<void> read(std::string_view text, std::int16_t& out);
  static base::result<void> read(std::string_view text, std::uint64_t& out);
  static base::result<void> read(std::string_view text, std::uint32_t& out);
  static base::result<void> read(std::string_view text, double& out);
  static base::result<void> read(std::string_view text, std::string& out);
  static base::result<void> read(std::string_view text, base::decimal& out);
  static base::result<void> read(std::string_view text, base::timestamp& out);
  static base::result<void> read(std::string_view text, boost::json::value& out);
  static base::result<void> read(std::string_view text, boost::json::object& out);
  static base::result<void> read(std::string_view text, base::message_id& out);
  template <class Tag>
  static base::result<void> read(std::string_view text, base::string_id<Tag>& out) {
    out = base::string_id<Tag>(std::string(text));
    return {};
  }
  template <class T>
  static base::result<void> read(std::string_view text, std::vector<T>& out);
};

/// One row. Keeps the whole result alive. `get` throws `base::failure` (`internal`) naming the column and the value
/// when there is no such column, it is NULL (except for std::optional), or it does not read as T.
class row {
 public:
  template <class T>
  T get(std::size_t column) const;
  template <class T>
  T get(std::string_view column) const {
    return get<T>(index_of(column));
  }
  bool is_null(std::size_t column) const;
  bool is_null(std::string_view column) const { return is_null(index_of(column)); }
  /// The text as the server sent it ("" for NULL); valid as long as the row.
  std::string_view text(std::size_t column) const;
  std::string_view text(std::string_view column) const { return text(index_of(column)); }
  std::size_t columns() const;
  std::string_view column_name(std::size_t column) const;

 private:
  friend class rows;
  row(std::shared_ptr<const pg_result> result, int index) : result_(std::move(result)), index_(index) {}
  std::size_t index_of(std::string_view column) const;
  [[noreturn]] void fail(std::size_t column, const std::string& why) const;

  std::shared_ptr<const pg_result> result_;
  int index_ = 0;
};

/// A result; cheap to copy.
class rows {
 public:
  class iterator {
   public:
    iterator(const rows* of, std::size_t at) : of_(of), at_(at) {}
    row operator*() const { return (*of_)[at_]; }
    iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const iterator& other) const { return at_ == other.at_; }

   private:
    const rows* of_;
    std::size_t at_;
  };

  rows() = default;  ///< none
  explicit rows(std::shared_ptr<const pg_result> result) : result_(std::move(result)) {}

  std::size_t size() const;
  bool empty() const { return size() == 0; }
  /// Throws `base::failure` (`internal`) when there is no such row.
  row operator[](std::size_t index) const;
  row front() const { return (*this)[0]; }
  /// The only row; throws `base::failure` (`internal`) when there are none or several.
  row single() const;
  iterator begin() const { return {this, 0}; }
  iterator end() const { return {this, size()}; }
  /// Rows that an INSERT, UPDATE, DELETE, SELECT … says it touched; 0 for others.
  std::size_t affected() const;
  /// "INSERT 0 1", "COMMIT"
  std::string_view command() const;

 private:
  std::shared_ptr<const pg_result> result_;
};

template <class T>
base::result<void> decoding::read(std::string_view text, std::vector<T>& out) {
  auto elements = parse_array(text);
  if (!elements) return elements.error();
  out.clear();
  out.reserve(elements->size());
  for (auto& element : *elements) {
    if (!element) return base::make_error(base::error_kind::invalid_input, "an array without NULL");
    T value{};
    if (auto done = read(*element, value); !done) return done;
    out.push_back(std::move(value));
  }
  return {};
}

namespace detail {
template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
}  // namespace detail

template <class T>
T row::get(std::size_t column) const {
  if constexpr (detail::is_optional<T>::value) {
    if (is_null(column)) return std::nullopt;
    return get<typename T::value_type>(column);
  } else {
    if (is_null(column)) fail(column, "is NULL");
    T value{};
    const auto done = decoding::read(text(column), value);
    if (!done) fail(column, "is not " + done.error().message);
    return value;
  }
}

}  // namespace fleet::postgres
