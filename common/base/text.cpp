#include "common/base/text.hpp"

#include <algorithm>

namespace fleet::base {
namespace {

/// Length of the well-formed UTF-8 sequence at the start of `text` (Unicode 15, table 3-7), 0 if malformed.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

constexpr std::string_view blanks = " \t\r\n";

bool is_blank(char c) {
  return blanks.find(c) != std::string_view::npos;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.size() >= word.size() && std::equal(word.begin(), word.end(), text.begin(),
                                                  [](char expected, char found) { return expected == lower(found); });
}

/// Where the password of "password = secret" or "password='se\'cret'" at the start of `text` begins, 0 if there is
/// none.
std::size_t keyword_secret(std::string_view text) {
  constexpr std::string_view keyword = "password";
  if (!starts_with_word(text, keyword)) return 0;
  auto at = std::min(text.find_first_not_of(blanks, keyword.size()), text.size());
  if (at == text.size() || text[at] != '=') return 0;
  at = std::min(text.find_first_not_of(blanks, at + 1), text.size());
  return at == text.size() ? 0 : at;
}

std::size_t keyword_secret_length(std::string_view secret) {
  const bool quoted = secret.front() == '\'';
  for (std::size_t i = quoted ? 1 : 0; i < secret.size(); ++i) {
    if (secret[i] == '\\')
      ++i;
    else if (quoted && secret[i] == '\'')
      return i + 1;
    else if (!quoted && (is_blank(secret[i]) || secret[i] == '&'))
      return i;
  }
  return secret.size();
}

struct masked_part {
  std::size_t shown = 0;   ///< bytes up to the secret
  std::size_t hidden = 0;  ///< its bytes; 0 where the text has no more
};

/// The first secret of `text`: in a URL between the first colon behind "://" and the "@", or behind "password=".
masked_part visible_before_secret(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto rest = text.substr(i);
    if (rest.starts_with("://")) {
      const auto user = rest.substr(3, 4096);  // bounded, so that a hostile text costs no quadratic time
      const auto colon = user.find_first_of(":/@ \t\r\n");
      if (colon == std::string_view::npos || user[colon] != ':') continue;
      const auto end = user.find_first_of("@ \t\r\n", colon);
      if (end == std::string_view::npos || user[end] != '@') continue;
      if (end > colon + 1) return {i + 3 + colon + 1, end - colon - 1};
    } else if (const auto secret = keyword_secret(rest); secret != 0) {
      return {i + secret, keyword_secret_length(rest.substr(secret))};
    }
  }
  return {text.size(), 0};
}

/// Bytes of the character at the beginning of `text` if it steers a terminal; 0 where it is another one.
std::size_t steering_length(std::string_view text) {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U; };
  if (byte(0) < 0x20 || byte(0) == 0x7F) return 1;
  if (byte(0) == 0xC2 && byte(1) >= 0x80 && byte(1) < 0xA0) return 2;  // C1 controls
  if (byte(0) != 0xE2) return 0;
  // Marks, embeddings, overrides and isolates of direction: U+200E, U+200F, U+202A-U+202E, U+2066-U+2069.
  if (byte(1) == 0x80 && (byte(2) == 0x8E || byte(2) == 0x8F || (byte(2) >= 0xAA && byte(2) <= 0xAE))) return 3;
  return byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9 ? 3 : 0;
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool has_control_characters(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7F) return true;
    // U+0080-U+009F: terminals take some of them for the start of a control sequence.
    if (byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto length = steering_length(text.substr(i));
    clean += length == 0 ? text[i] : '?';
    i += std::max<std::size_t>(length, 1);
  }
  return clean;
}

std::string storable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const auto length = text.front() == '\0' ? 0 : sequence_length(text);
    clean += length == 0 ? std::string_view("?") : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return clean;
}

bool is_valid_id(std::string_view text) {
  return !text.empty() && text.size() <= 200 && !has_control_characters(text) && is_valid_utf8(text);
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string abbreviate(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  auto cut = max_bytes;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
  return std::string(text.substr(0, cut)) + "…";
}

// By hand: std::regex recurses for each character, so that a long text would end the process.
std::string tail_of(std::string_view text, std::size_t max_bytes) {
  text = trim(text);
  const bool cut = text.size() > max_bytes;
  if (cut) {
    text.remove_prefix(text.size() - max_bytes);
    const auto line = text.find('\n');
    if (line != std::string_view::npos && line < text.size() / 2) text.remove_prefix(line + 1);
    while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0U) == 0x80U) text.remove_prefix(1);
  }
  std::string tail(text);
  const bool utf8 = is_valid_utf8(tail);
  for (auto& c : tail) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7f) c = ' ';
    if (byte >= 0x80 && !utf8) c = '?';
  }
  return cut ? "… " + tail : tail;
}

std::string mask_secrets(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    auto visible = visible_before_secret(text);
    out += text.substr(0, visible.shown);
    if (visible.hidden > 0) out += "***";
    text.remove_prefix(visible.shown + visible.hidden);
  }
  return out;
}

}  // namespace fleet::base
