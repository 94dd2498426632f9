#include <boost/json/parse.hpp>
#include <charconv>
#include <cstdlib>

#include "common/postgres/rows.hpp"

namespace fleet::postgres {
namespace {

base::error expected(const char* what) {
  return base::make_error(base::error_kind::invalid_input, what);
}

template <class T>
base::result<void> read_integer(std::string_view text, T& out) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failed != std::errc() || end != text.data() + text.size()) return expected("a whole number that fits");
  return {};
}

}  // namespace

base::result<void> decoding::read(std::string_view text, bool& out) {
  if (text != "t" && text != "f") return expected("a boolean");
  out = text == "t";
  return {};
}

base::result<void> decoding::read(std::string_view text, std::int64_t& out) {
  return read_integer(text, out);
}
base::result<void> decoding::read(std::string_view text, std::int32_t& out) {
  return read_integer(text, out);
}
base::result<void> decoding::read(std::string_view text, std::int16_t& out) {
  return read_integer(text, out);
}
base::result<void> decoding::read(std::string_view text, std::uint64_t& out) {
  return read_integer(text, out);
}
base::result<void> decoding::read(std::string_view text, std::uint32_t& out) {
  return read_integer(text, out);
}

base::result<void> decoding::read(std::string_view text, double& out) {
  // from_chars takes "inf", "infinity" and "nan" in any case, as PostgreSQL writes them.
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failed != std::errc() || end != text.data() + text.size()) return expected("a number");
  return {};
}

base::result<void> decoding::read(std::string_view text, std::string& out) {
  out = std::string(text);
  return {};
}

base::result<void> decoding::read(std::string_view text, base::decimal& out) {
  const auto value = base::decimal::parse(text);
  if (!value) return expected("a decimal number that fits");
  out = *value;
  return {};
}

base::result<void> decoding::read(std::string_view text, base::timestamp& out) {
  // The session's zone is UTC, so that "+00" follows a timestamptz and nothing a timestamp.
  std::string full(text);
  const auto offset = full.find_last_of("+-");
  if (offset == std::string::npos || offset < 11) {
    full += 'Z';
  } else if (full.size() - offset == 3) {
    full += ":00";
  }
  const auto value = base::parse_rfc3339(full);
  if (!value) return expected("a finite time of the years 1 to 9999");
  out = *value;
  return {};
}

base::result<void> decoding::read(std::string_view text, boost::json::value& out) {
  boost::json::error_code failed;
  boost::json::parse_options options;
  options.max_depth = 256;
  out = boost::json::parse(boost::json::string_view(text.data(), text.size()), failed, {}, options);
  if (failed) return expected("JSON");
  return {};
}

base::result<void> decoding::read(std::string_view text, boost::json::object& out) {
  boost::json::value value;
  if (auto done = read(text, value); !done) return done;
  auto* object = value.if_object();
  if (object == nullptr) return expected("a JSON object");
  out = std::move(*object);
  return {};
}

base::result<void> decoding::read(std::string_view text, base::message_id& out) {
  std::int64_t value = 0;
  if (auto done = read(text, value); !done) return done;
  out = base::message_id{value};
  return {};
}

}  // namespace fleet::postgres
