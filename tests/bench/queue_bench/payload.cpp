#include "tests/bench/queue_bench/payload.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace fleet::bench {

namespace {

constexpr std::size_t body_size = 425;
// JSON knows no leading zeros, and the width must not change; those of the warm-up are below it.
constexpr long first_number = 2'000'000'000;
constexpr std::size_t number_width = 10;
constexpr std::size_t key_width = 3;

}  // namespace

payload::payload(encoding how, int count) {
  const std::string quote = how == encoding::array ? "\\\"" : "\"";
  if (how == encoding::array) text_ = "{";
  for (int i = 0; i < count; ++i) {
    if (how == encoding::array) text_ += i == 0 ? "\"" : ",\"";
    if (how == encoding::copy) text_ += "1\t";
    text_ += "{" + quote + "n" + quote + ":";
    numbers_.push_back(text_.size());
    text_ += std::string(number_width, '1') + "," + quote + "key" + quote + ":" + quote + "k";
    keys_.push_back(text_.size());
    text_ += std::string(key_width, '0') + quote + "," + quote + "filler" + quote + ":" + quote;
    const std::size_t rest = std::strlen(R"({"n":,"key":"k","filler":""})") + number_width + key_width;
    text_ += std::string(body_size - rest, 'x') + quote + "}";
    if (how == encoding::array) text_ += "\"";
    if (how == encoding::copy) text_ += "\n";
  }
  if (how == encoding::array) text_ += "}";
}

const std::string& payload::numbered(long first) {
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    const auto digits = std::to_string(first_number + first + static_cast<long>(i));
    text_.replace(numbers_[i], number_width, digits);
    text_.replace(keys_[i], key_width, digits, number_width - key_width, key_width);
  }
  return text_;
}

std::string payload::key() const {
  return "k" + text_.substr(keys_.front(), key_width);
}

std::string payload::keys() const {
  std::string list = "{";
  for (const auto at : keys_) list += (list.size() > 1 ? ",k" : "k") + text_.substr(at, key_width);
  return list + "}";
}

long number_of(long message) {
  return first_number + message;
}

long number_in(const char* body) {
  const char* found = std::strstr(body, "\"n\":");
  if (found == nullptr) throw std::runtime_error(std::string("a message came back without its number: ") + body);
  return std::strtol(found + 4, nullptr, 10) - first_number;
}

}  // namespace fleet::bench
