#include "common/http/event_stream.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/text.hpp"

namespace fleet::http {
namespace {

/// A line break inside would start another field: the name loses them, data becomes several `data:` lines.
std::string encode(std::string_view event_name, std::string_view data) {
  std::string name(event_name);
  std::erase_if(name, [](char c) { return c == '\n' || c == '\r'; });
  std::string text = "event: " + name + "\n";
  std::string lines(data);
  std::erase(lines, '\r');
  for (const auto& line : base::split(lines, '\n')) text += "data: " + line + "\n";
  return text + "\n";
}

}  // namespace

event_stream::event_stream(boost::asio::any_io_executor executor, std::size_t max_queued)
    : wake_(executor), max_queued_(max_queued) {}

bool event_stream::push(std::string_view event_name, std::string_view data) {
  if (closed_) return false;
  if (queue_.size() >= max_queued_) {
    queue_.clear();
    close();
    return false;
  }
  queue_.push_back(encode(event_name, data));
  wake_.cancel();
  return true;
}

void event_stream::close() {
  closed_ = true;
  wake_.cancel();
}

boost::asio::awaitable<std::optional<std::string>> event_stream::next(std::chrono::milliseconds wait) {
  if (queue_.empty() && !closed_) {
    wake_.expires_after(wait);
    co_await wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  if (queue_.empty()) co_return std::nullopt;
  auto first = std::move(queue_.front());
  queue_.pop_front();
  co_return first;
}

event_hub::event_hub(boost::asio::any_io_executor executor, std::size_t max_subscribers)
    : executor_(std::move(executor)), max_subscribers_(max_subscribers) {}

std::shared_ptr<event_stream> event_hub::subscribe() {
  forget_gone();
  if (streams_.size() >= max_subscribers_) return nullptr;
  auto stream = std::make_shared<event_stream>(executor_);
  streams_.push_back(stream);
  return stream;
}

void event_hub::publish(std::string_view event_name, std::string_view data) {
  for (const auto& held : streams_)
    if (const auto stream = held.lock()) stream->push(event_name, data);
  forget_gone();
}

void event_hub::close() {
  for (const auto& held : streams_)
    if (const auto stream = held.lock()) stream->close();
  streams_.clear();
}

std::size_t event_hub::subscribers() {
  forget_gone();
  return streams_.size();
}

void event_hub::forget_gone() {
  std::erase_if(streams_, [](const auto& held) {
    const auto stream = held.lock();
    return stream == nullptr || stream->closed();
  });
}

}  // namespace fleet::http
