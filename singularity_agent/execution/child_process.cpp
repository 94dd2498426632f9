#include "singularity_agent/execution/child_process.hpp"

#include <fmt/format.h>

#include <optional>

#include "common/base/text.hpp"

namespace fleet::agent::execution {

boost::asio::awaitable<base::result<async::process_result>> try_run(async::process_spec spec) {
  std::optional<base::error> failed;
  try {
    auto ended = co_await async::run_process(std::move(spec));
    co_return ended;
  } catch (const base::failure& e) {
    failed = base::make_error(base::error_kind::unavailable, e.get().message);
  }
  co_return *failed;
}

std::string tail_of(std::string_view text, std::size_t max_bytes) {
  text = base::trim(text);
  const bool cut = text.size() > max_bytes;
  if (cut) {
    text.remove_prefix(text.size() - max_bytes);
    const auto line = text.find('\n');
    if (line != std::string_view::npos && line < text.size() / 2) text.remove_prefix(line + 1);
    while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0U) == 0x80U) text.remove_prefix(1);
  }
  std::string tail(text);
  const bool utf8 = base::is_valid_utf8(tail);
  for (auto& c : tail) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7f) c = ' ';
    if (byte >= 0x80 && !utf8) c = '?';
  }
  return cut ? "… " + tail : tail;
}

std::string failure_of(const async::process_result& ended) {
  auto said = tail_of(ended.standard_error.empty() ? ended.standard_output : ended.standard_error, 1000);
  for (auto& c : said)
    if (c == '\n') c = ' ';
  return said.empty() ? ended.describe() : fmt::format("{}: {}", ended.describe(), said);
}

verification verification_of(const async::process_result& ended) {
  verification found;
  found.passed = ended.ok();
  found.timed_out = ended.timed_out;
  found.exit_code = ended.signal != 0 ? 128 + ended.signal : ended.exit_code;
  found.output_tail = tail_of(ended.standard_output + ended.standard_error);
  found.duration = ended.duration;
  return found;
}

}  // namespace fleet::agent::execution
