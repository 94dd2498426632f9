#include "singularity_agent/proposals/proposal_queue.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "common/base/json.hpp"
#include "singularity_agent/database.hpp"

namespace fleet::agent::proposals {
namespace {

/// Sent in one transaction at most: bounds how long it lasts, and how much is ranked by figures of the same moment.
constexpr std::size_t max_sent_at_once = 50;
constexpr std::chrono::seconds look_again{5};
/// With its preview a proposal must still be one that the queue takes; people do not read larger ones.
constexpr std::size_t max_previewed_bytes = 1U << 20;
/// For the previews of one batch: where git is slow or hangs, the others go without.
constexpr std::chrono::seconds previewing{2};

base::decimal to_decimal(double priority) {
  constexpr double most = 1'000'000'000.0;
  return base::decimal::from_millionths(std::llround(std::min(priority, most) * base::decimal::scale));
}

using track_records = std::map<std::string, track_record>;

score_input input_of(const pending_proposal& of, const track_records& records, const cost_factors& costs) {
  score_input input;
  input.impact = of.impact;
  input.risk = of.risk;
  input.cost_factor = cost_factor_of(of.agent_type, costs);
  input.waiting = of.waiting;
  if (const auto record = records.find(of.agent_type); record != records.end()) {
    if (const auto rate = success_rate_of(record->second)) input.success_rate = *rate;
  }
  return input;
}

std::vector<queue_place> ranked(const std::vector<pending_proposal>& pending, const track_records& records,
                                const cost_factors& costs) {
  std::vector<queue_place> places;
  places.reserve(pending.size());
  for (const auto& one : pending)
    places.push_back({priority(input_of(one, records, costs)), one.submitted, one.proposal_id});
  std::sort(places.begin(), places.end(), goes_before);
  return places;
}

}  // namespace

struct proposal_queue::refused_proposal {
  base::proposal_id id;
  base::error why;
};

proposal_queue::proposal_queue(postgres::pool& connections, producers& send, wake_ups& wake, telemetry::logger log,
                               proposals_settings settings, preview_of preview)
    : connections_(connections),
      send_(send),
      wake_(wake),
      log_(std::move(log)),
      settings_(std::move(settings)),
      preview_(std::move(preview)),
      repository_(send.self()) {}

boost::asio::awaitable<submit_answer> proposal_queue::submit(postgres::transaction& in, submission what) {
  pending_proposal fresh;
  fresh.agent_type = what.agent_type;
  fresh.impact = what.impact_score;
  fresh.risk = what.risk_score;
  const auto records = co_await repository_.track_records(in.on());
  auto proposal = what.encode();
  const auto score = to_decimal(priority(input_of(fresh, records, settings_.cost_factors)));
  proposal["priority_score"] = messages::to_json(score);
  co_return co_await repository_.submit(in.on(), std::move(proposal), settings_.max_pending);
}

boost::asio::awaitable<void> proposal_queue::dispatch(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    const auto sent = co_await send_best();
    if (sent == 0) co_await wake_.dispatch.wait_for(look_again, stop);
  }
}

boost::asio::awaitable<std::size_t> proposal_queue::send_best() {
  std::vector<queue_place> places;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    places = co_await best(*connection);
  }
  if (places.empty()) co_return 0;
  const auto known = co_await look_at(places);
  auto refused = co_await send_all(places, known);
  if (refused) co_await refuse(std::move(*refused));
  wake_.step_taken();
  const std::size_t settled = refused ? 1 : places.size();
  co_return settled;
}

/// All, or the first of them that can never be sent: its error leaves the transaction nothing but to be rolled back.
boost::asio::awaitable<std::optional<proposal_queue::refused_proposal>> proposal_queue::send_all(
    std::vector<queue_place> places, const previews& known) {
  std::optional<refused_proposal> refused;
  const auto work = [&](postgres::transaction& in) -> boost::asio::awaitable<void> {
    for (const auto& place : places) {
      const auto sent = co_await send_one(in, place, known);
      if (sent) continue;
      if (sent.error().kind == base::error_kind::invalid_input)
        refused = refused_proposal{base::proposal_id(place.proposal_id), sent.error()};
      throw base::failure(sent.error());
    }
  };
  try {
    co_await transact(connections_, work);
  } catch (const base::failure&) {
    if (!refused) throw;
  }
  co_return refused;
}

boost::asio::awaitable<void> proposal_queue::refuse(refused_proposal what) {
  log_.warning("proposal_refused", what.why.message, {{"proposal_id", what.id}});
  auto connection = co_await connections_.acquire(connection_wait);
  auto why = "it cannot be sent: " + what.why.message;
  co_await repository_.refuse(*connection, std::move(what.id), std::move(why));
}

boost::asio::awaitable<std::vector<queue_place>> proposal_queue::best(postgres::connection& on) {
  const auto pending = co_await repository_.pending(on, settings_.max_pending);
  if (pending.empty()) co_return std::vector<queue_place>();
  const auto in_flight = co_await repository_.in_flight(on);
  const auto room = std::max<std::int64_t>(settings_.max_in_flight - in_flight, 0);
  const auto records = co_await repository_.track_records(on);
  auto places = ranked(pending, records, settings_.cost_factors);
  places.resize(std::min({places.size(), static_cast<std::size_t>(room), max_sent_at_once}));
  co_return places;
}

/// Before the transaction that sends them: git is asked, and no transaction waits for a process.
boost::asio::awaitable<proposal_queue::previews> proposal_queue::look_at(std::vector<queue_place> places) {
  previews known;
  if (!preview_) co_return known;
  const auto until = std::chrono::steady_clock::now() + previewing;
  for (const auto& place : places) {
    if (std::chrono::steady_clock::now() >= until) break;
    std::optional<boost::json::object> stored;
    {
      auto connection = co_await connections_.acquire(connection_wait);
      stored = co_await repository_.find(*connection, base::proposal_id(place.proposal_id));
    }
    if (!stored || base::write_json(*stored).size() > max_previewed_bytes) continue;
    auto shown = co_await preview_(std::move(stored->at("code_change").as_object()));
    if (shown) known.emplace(place.proposal_id, std::move(*shown));
  }
  co_return known;
}

boost::asio::awaitable<base::result<void>> proposal_queue::send_one(postgres::transaction& in, queue_place place,
                                                                    const previews& known) {
  const base::proposal_id id(place.proposal_id);
  auto stored = co_await repository_.find(in.on(), id);
  if (!stored) co_return base::result<void>();
  sent_proposal sent;
  sent.id = id;
  sent.priority = to_decimal(place.priority);
  auto message = message_of(std::move(*stored), sent.priority);
  if (!message) co_return message.error();
  if (const auto shown = known.find(place.proposal_id); shown != known.end()) message->preview = shown->second;
  const auto published = co_await send_.propose_for_consensus(in, std::move(*message));
  if (!published) co_return published.error();
  sent.message = *published;
  co_await repository_.mark_sent(in.on(), std::move(sent));
  co_return base::result<void>();
}

}  // namespace fleet::agent::proposals
