// Text: the checks and small transformations that several layers need.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace fleet::base {

/// A caller-chosen id (proposal, instance, agent type): 1-200 bytes of valid UTF-8 without control characters.
bool is_valid_id(std::string_view text);
bool is_valid_utf8(std::string_view text);
bool has_control_characters(std::string_view text);
/// The text with each character that could steer a terminal, or make it show the rest in another order, replaced by
/// "?".
std::string printable(std::string_view text);

/// The text with each byte that belongs to no character of UTF-8, and each zero byte, replaced by "?": what a database
/// takes, in JSON too.
std::string storable(std::string_view text);

std::string_view trim(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);
/// At most `max_bytes`, cut at a character's border, with "…" where something was cut.
std::string abbreviate(std::string_view text, std::size_t max_bytes);
/// The last bytes of what a program said, trimmed, cut at a line's start where one is near: valid UTF-8 without control
/// characters other than line feeds, whatever it said.
std::string tail_of(std::string_view text, std::size_t max_bytes = 4096);
/// The text with a password in a connection URL (`user:secret@`) or `password=secret` replaced by `***`.
std::string mask_secrets(std::string_view text);

}  // namespace fleet::base
