#include "common/daemon/input.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iostream>

#include "common/base/json.hpp"

namespace fleet::daemon {
namespace {

constexpr std::size_t max_input_bytes = 8U * 1024 * 1024;

base::error wrong(std::string message) {
  return base::make_error(base::error_kind::invalid_input, std::move(message));
}

}  // namespace

base::result<std::string> read_input(const std::string& file) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) return wrong(fmt::format("{}: cannot be read", file));
  }
  std::istream& in = file == "-" ? std::cin : opened;
  std::string text(max_input_bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

base::result<boost::json::object> read_json_input(const std::string& file) {
  const auto text = read_input(file);
  if (!text) return text.error();
  auto object = base::parse_json_object(*text);
  if (!object) return wrong(fmt::format("{}: {}", file == "-" ? "standard input" : file, object.error().message));
  return object;
}

}  // namespace fleet::daemon
