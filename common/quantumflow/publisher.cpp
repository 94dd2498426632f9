#include "common/quantumflow/publisher.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "common/async/backoff.hpp"
#include "common/base/error.hpp"
#include "common/base/json.hpp"
#include "common/postgres/error.hpp"

namespace fleet::quantumflow {

namespace {

constexpr std::chrono::hours until_woken{1};

/// Repeating the flush may help, and cannot publish twice.
bool is_passing(const base::error& error) {
  return error.kind == base::error_kind::unavailable || error.kind == base::error_kind::timeout;
}

}  // namespace

/// One call of `publish`; shared with the coroutine that made it, which may go first.
struct publisher::entry {
  explicit entry(publication published) : what(std::move(published)) {}
  publication what;
  async::event settled;
  std::optional<base::result<base::message_id>> answer;
  std::chrono::steady_clock::time_point until;

  void settle(base::result<base::message_id> with) {
    answer = std::move(with);
    settled.notify();
  }
};

/// What one flush publishes to one queue, under one number.
struct publisher::group {
  std::string queue;
  std::int64_t sequence = 0;
  batch entries;
};

publisher::publisher(postgres::pool& connections, publisher_options options)
    : pool_(connections), options_(std::move(options)) {
  if (options_.producer.empty()) options_.producer = "publisher";
  options_.producer += " " + base::new_uuid();
  options_.patience = std::min<std::chrono::milliseconds>(options_.patience, async::longest_wait);
}

publisher::~publisher() = default;

boost::asio::awaitable<base::message_id> publisher::publish(publication what) {
  if (closed_) throw base::failure(base::make_error(base::error_kind::unavailable, "the publisher has stopped"));
  if (waiting_.size() >= options_.max_waiting) {
    auto text = fmt::format("{} messages wait to be published already", waiting_.size());
    throw base::failure(base::make_error(base::error_kind::unavailable, std::move(text)));
  }
  const auto own = std::make_shared<entry>(std::move(what));
  own->until = std::chrono::steady_clock::now() + options_.patience;
  waiting_.push_back(own);
  arrived_.notify();
  co_await own->settled.wait_for(options_.patience);
  if (!own->answer) {
    // Still waiting: it will not be sent any more. In flight: nobody knows.
    const auto found = std::find(waiting_.begin(), waiting_.end(), own);
    const bool sent = found == waiting_.end();
    if (!sent) waiting_.erase(found);
    const auto kind = sent ? base::error_kind::timeout : base::error_kind::unavailable;
    throw base::failure(base::make_error(kind, "the message was not published in time"));
  }
  if (!*own->answer) throw base::failure(own->answer->error());
  co_return **own->answer;
}

boost::asio::awaitable<void> publisher::run(async::stop_token stop) {
  closed_ = false;
  while (!waiting_.empty() || !stop.soft_requested()) {
    if (waiting_.empty()) {
      co_await arrived_.wait_for(until_woken, stop);
      continue;
    }
    const auto size = std::min(waiting_.size(), options_.max_batch);
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(size);
    batch entries(waiting_.begin(), end);
    waiting_.erase(waiting_.begin(), end);
    co_await flush(std::move(entries), stop);
  }
  closed_ = true;
}

/// Commits the entries, or settles each with its error. Where one is refused, each is sent alone.
boost::asio::awaitable<void> publisher::flush(batch entries, async::stop_token stop) {
  ++flushes_;
  const auto groups = numbered(entries);
  const auto until = entries.back()->until;
  async::backoff backoff;
  base::error error;
  bool may_be_there = false;  // of some attempt nobody knows
  for (bool again = true; again;) {
    bool sent = false;
    try {
      co_await send(groups, sent);
      co_return;
    } catch (const base::failure& failure) {
      error = failure.get();
      may_be_there = may_be_there || (sent && is_passing(error));
    } catch (const std::invalid_argument& no_json) {
      error = base::make_error(base::error_kind::invalid_input, no_json.what());
    }
    again = is_passing(error) && std::chrono::steady_clock::now() < until;
    const auto delay = backoff.next(async::random01());
    if (again) again = co_await stop.sleep_for(delay);
  }
  if (may_be_there) error.kind = base::error_kind::timeout;
  if (is_passing(error) || entries.size() == 1) {
    for (const auto& each : entries) each->settle(error);
    co_return;
  }
  for (const auto& each : entries) {
    batch alone(1, each);
    co_await flush(std::move(alone), stop);
  }
}

std::vector<publisher::group> publisher::numbered(const batch& entries) {
  std::vector<group> groups;
  for (const auto& each : entries) {
    const auto is_same = [&each](const group& one) { return one.queue == each->what.queue; };
    auto found = std::find_if(groups.begin(), groups.end(), is_same);
    if (found == groups.end()) {
      group fresh;
      fresh.queue = each->what.queue;
      fresh.sequence = ++sequence_;
      found = groups.insert(groups.end(), std::move(fresh));
    }
    found->entries.push_back(each);
  }
  return groups;
}

/// One statement, which is a transaction of its own.
boost::asio::awaitable<void> publisher::send(std::vector<group> groups, bool& sent) {
  std::string sql = "select ";
  postgres::params arguments;
  for (const auto& each : groups) {
    std::string lines;
    std::vector<std::optional<std::string>> recipients;
    std::vector<std::optional<std::string>> keys;
    for (const auto& one : each.entries) {
      // A line a payload: written JSON holds no line break, and splitting lines is cheaper than reading an array.
      if (!lines.empty()) lines += '\n';
      lines += base::write_json(one->what.payload);
      keys.push_back(one->what.ordering_key);
      recipients.push_back(one->what.recipient ? std::optional(one->what.recipient->str()) : std::nullopt);
    }
    const auto is_given = [](const auto& value) { return value.has_value(); };
    const bool addressed = std::any_of(recipients.begin(), recipients.end(), is_given);
    const bool keyed = std::all_of(keys.begin(), keys.end(), is_given);
    const auto first = arguments.size();
    sql += fmt::format("{}quantumflow.publish_once(${}, ${}, ${}, string_to_array(${}, e'\\n'), ${}, ${})",
                       first == 0 ? "" : ", ", first + 1, first + 2, first + 3, first + 4, first + 5, first + 6);
    arguments.add(options_.producer).add(each.sequence).add(each.queue).add(lines);
    keyed ? arguments.add(keys) : arguments.add_null();
    addressed ? arguments.add(recipients) : arguments.add_null();
  }
  auto connection = co_await pool_.acquire();
  sent = true;
  const auto rows = co_await connection->query(std::move(sql), std::move(arguments));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto ids = rows[0].get<std::vector<std::int64_t>>(i);
    for (std::size_t k = 0; k < groups[i].entries.size(); ++k)
      groups[i].entries[k]->settle(base::message_id{k < ids.size() ? ids[k] : 0});
  }
}

}  // namespace fleet::quantumflow
