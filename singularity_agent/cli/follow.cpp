#include "singularity_agent/cli/follow.hpp"

#include <fmt/format.h>

#include <chrono>
#include <ostream>
#include <thread>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "singularity_agent/execution/journal_detail.hpp"

namespace fleet::agent::cli {
namespace {

using execution::text_of;

/// Polling one row over a Unix socket costs less than a millisecond, and unlike an event stream needs no catching up
/// after the agent was away.
constexpr std::chrono::milliseconds poll_interval{100};
constexpr std::chrono::seconds agent_away_limit{60};
constexpr std::chrono::hours database_away_limit{1};

/// How long answers of this kind are borne with. A spooled proposal is not found until it was replayed.
std::chrono::seconds patience_with(base::error_kind answer, bool in_spool) {
  if (answer == base::error_kind::not_found) return in_spool ? agent_away_limit : std::chrono::seconds(0);
  return in_spool ? database_away_limit : agent_away_limit;
}

std::string_view time_of_day(std::string_view rfc3339) {
  constexpr std::size_t date_length = 11;  // "2026-01-31T"
  constexpr std::size_t time_length = 12;  // "12:00:00.123"
  return rfc3339.size() < date_length + time_length ? rfc3339 : rfc3339.substr(date_length, time_length);
}

}  // namespace

std::optional<int> ending_of(const boost::json::object& story) {
  if (text_of(story, "ended_at").empty()) return std::nullopt;
  return text_of(story, "status") == "applied" ? daemon::exit_done : daemon::exit_refused;
}

std::size_t print_steps(std::ostream& out, const boost::json::object& story, std::size_t from, bool json) {
  const auto& history = story.at("history").as_array();
  for (auto at = from; at < history.size(); ++at) {
    const auto& step = history[at].as_object();
    if (json) {
      out << base::write_json(step) << '\n';
      continue;
    }
    const auto before = text_of(step, "from");
    out << fmt::format("{}  {}{}  {}\n", time_of_day(text_of(step, "at")), before.empty() ? "" : before + " → ",
                       text_of(step, "to"), base::printable(text_of(step, "cause")));
  }
  out.flush();
  return history.size();
}

int follow(const daemon::invocation& call, const agent_address& at, const std::string& proposal, bool spooled) {
  api_call what;
  what.target = "/v1/proposals/" + http::percent_encode(proposal);
  std::size_t printed = 0;
  std::optional<base::error_kind> last_error;
  auto last_answer = std::chrono::steady_clock::now();
  while (true) {
    const auto story = call_agent(at, what);
    const auto now = std::chrono::steady_clock::now();
    // A database that comes back after long leaves the replay its time.
    if (!story && story.error().kind != last_error) {
      last_error = story.error().kind;
      last_answer = now;
    }
    if (story) {
      last_answer = now;
      printed = print_steps(*call.out, *story, printed, call.json);
      if (const auto ended = ending_of(*story)) {
        if (!call.json && *ended == daemon::exit_done)
          *call.out << fmt::format("{}  the observation window is over, the change stays\n",
                                   time_of_day(text_of(*story, "ended_at")));
        return *ended;
      }
    } else if (now - last_answer > patience_with(story.error().kind, spooled && printed == 0)) {
      return refuse(call, story.error().message);
    }
    std::this_thread::sleep_for(poll_interval);
  }
}

}  // namespace fleet::agent::cli
