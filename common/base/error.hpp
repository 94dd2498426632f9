// Errors as values: what every layer returns for an outcome that a caller is expected to handle.
#pragma once
#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace fleet::base {

enum class error_kind {
  invalid_input,  ///< the caller's data is wrong; repeating it cannot help
  not_found,      ///< what was named does not exist
  conflict,       ///< it exists with other content, or its state does not allow the step
  refused,        ///< forbidden by a rule or a permission
  unavailable,    ///< something needed is away for now; repeating later may help
  timeout,        ///< a deadline passed; whether it happened is unknown
  cancelled,      ///< stopped on request
  internal        ///< a defect, or an answer nobody expected
};

std::string_view to_string(error_kind kind);

/// One wrong field of an input: `field` is a dotted path (`code_change.patch`), `message` says what was expected.
struct field_error {
  std::string field;
  std::string message;
  bool operator==(const field_error&) const = default;
};

struct error {
  error_kind kind = error_kind::internal;
  std::string message;              ///< one sentence for a person; names the field for bad input
  std::vector<field_error> fields;  ///< filled for `invalid_input`
};

inline error make_error(error_kind kind, std::string message) {
  return error{kind, std::move(message), {}};
}
/// An `invalid_input` error whose message lists every field.
error invalid_fields(std::vector<field_error> fields);

/// The exception form of an error, for code that cannot go on: caught once, at the root of a coroutine.
class failure : public std::runtime_error {
 public:
  explicit failure(error what) : std::runtime_error(what.message), error_(std::move(what)) {}
  const error& get() const { return error_; }

 private:
  error error_;
};

[[noreturn]] void throw_exception_from_error(const error& what, const boost::source_location&);

template <class T = void>
using result = boost::system::result<T, error>;

}  // namespace fleet::base
