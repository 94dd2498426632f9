#include "singularity_agent/intake/intake.hpp"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <optional>
#include <set>
#include <utility>

#include "common/async/backoff.hpp"
#include "common/async/blocking_pool.hpp"
#include "common/base/json.hpp"
#include "common/messages/trace.hpp"
#include "common/postgres/error.hpp"

namespace fleet::agent::intake {
namespace {

using boost::asio::awaitable;
using boost::json::object;

constexpr std::chrono::minutes until_woken{1};
/// Too many proposals wait to be sent, or the spool's disk is full: how soon it is tried again, unless something comes
/// in before.
constexpr std::chrono::seconds until_room{1};
/// Items that are replayed in one transaction, each in a savepoint: below the 64 of which PostgreSQL knows a session's
/// without a look at the disk (PGPROC_MAX_CACHED_SUBXIDS).
constexpr std::size_t most_at_once = 50;

/// The database is away, and not: it said no.
bool is_away(const base::error& error) {
  return error.kind == base::error_kind::unavailable || error.kind == base::error_kind::timeout;
}

/// The proposal that an item is, or is about; empty where it is about none.
std::string proposal_of(const object& body) {
  const auto* id = body.if_contains("proposal_id");
  return id != nullptr && id->is_string() ? std::string(id->get_string()) : std::string();
}

/// The spool's own trouble (a full disk) is not the database being away: somebody has to be told.
template <class T>
auto from_spool(base::result<T> answer) {
  if (!answer) {
    auto trouble = answer.error();
    trouble.kind = base::error_kind::internal;
    throw base::failure(std::move(trouble));
  }
  return value_or_throw(std::move(answer));
}

}  // namespace

struct intake::item {
  kind what = kind::proposal;
  std::string key;
  object body;
};

struct intake::figures {
  explicit figures(telemetry::metrics& in)
      : entries(in.gauge_of("singularity_spool_entries")),
        bytes(in.gauge_of("singularity_spool_bytes")),
        dropped(in.counter_of("singularity_spool_dropped_total")),
        quarantined(in.counter_of("singularity_spool_quarantined_total")),
        unreadable(in.counter_of("singularity_spool_unreadable_total")),
        spooled(in.counter_of("singularity_spooled_total")),
        replayed(in.counter_of("singularity_spool_replayed_total")) {}
  telemetry::gauge entries, bytes;
  telemetry::counter dropped, quarantined, unreadable, spooled, replayed;
};

intake::intake(parts with, std::unique_ptr<quantumflow::spool> spool)
    : with_(std::move(with)),
      spool_(std::move(spool)),
      figures_(std::make_unique<figures>(with_.metrics)),
      away_(with_.log, "spooling", "spooling_ended", "everything was applied"),
      waits_(with_.log, "spool_waits", "spool_goes_on", "its disk and the database take things again") {
  show();
}

intake::~intake() = default;

void intake::show() {
  if (!spool_) return;
  const auto now = spool_->stats();
  figures_->entries.set(static_cast<double>(now.entries));
  figures_->bytes.set(static_cast<double>(now.bytes));
  figures_->dropped.raise_to(static_cast<double>(now.dropped_total));
  figures_->quarantined.raise_to(static_cast<double>(now.quarantined_total));
  figures_->unreadable.raise_to(static_cast<double>(now.unreadable_total));
}

awaitable<answer> intake::take(kind what, object body) {
  item taken;
  taken.what = what;
  taken.key = base::new_uuid();
  taken.body = value_or_throw(with_.apply.checked(what, std::move(body)));
  answer given;
  std::optional<base::error> away;
  const bool behind_others = spool_ && (arriving_ > 0 || spool_->stats().entries > 0);
  if (!behind_others) {
    bool reached = false;
    try {
      given.reply = co_await apply_at_once(taken, reached);
      co_return given;
    } catch (const postgres::sql_error& failure) {
      // One that does not let this agent in is no better than one that is away; what it says of the thing itself is.
      if (!spool_ || (reached && !is_away(failure.get()))) throw;
      away = failure.get();
    } catch (const base::failure& failure) {
      // From inside, it is a refusal ("too many proposals wait").
      if (!spool_ || reached || !is_away(failure.get())) throw;
      away = failure.get();
    }
    away_.occurred(away->message, to_string(what));
  }
  if (const auto* id = taken.body.if_contains("proposal_id")) given.reply["proposal_id"] = *id;
  if (what == kind::proposal) given.reply["status"] = "pending";
  given.reply["spooled"] = true;
  given.spooled = true;
  co_await keep(std::move(taken));
  co_return given;
}

awaitable<object> intake::apply_at_once(item what, bool& reached) {
  const auto work = [&](postgres::transaction& in) -> awaitable<object> {
    reached = true;
    co_return co_await apply_in(in, what);
  };
  auto reply = co_await transact(with_.connections, work, with_.until_away);
  applied(what);
  co_return reply;
}

/// In one transaction with its key; empty where it had been applied before.
awaitable<object> intake::apply_in(postgres::transaction& in, const item& what) {
  auto arguments = postgres::make_params(with_.self, what.key);
  const auto rows = co_await in.query("select singularity.accept_once($1, $2::uuid)", std::move(arguments));
  object reply;
  if (rows.single().get<bool>(0)) reply = co_await with_.apply.apply(in, what.what, what.body);
  co_return reply;
}

/// After the commit.
void intake::applied(const item& what) {
  log_accepted(what);
  with_.apply.wake(what.what);
}

/// Patterns and votes are messages already, and logged as such.
void intake::log_accepted(const item& what) const {
  const auto text = [&what](std::string_view field) { return std::string_view(what.body.at(field).as_string()); };
  const auto trace_id = base::trace_id_of(messages::read_trace(what.body));
  if (what.what == kind::proposal) {
    with_.log.info("proposal_accepted", "waits to be sent for consensus",
                   {{"proposal_id", text("proposal_id")}, {"trace_id", trace_id}});
  } else if (what.what == kind::proposal_metrics) {
    with_.log.debug("metrics_accepted", "go to the Guardian as a sample of their own",
                    {{"proposal_id", text("proposal_id")}, {"trace_id", trace_id}});
  } else if (what.what == kind::agent_metrics) {
    with_.log.debug("metrics_accepted", "go with the next sample of each watched change of the type",
                    {{"agent_type", text("agent_type")}, {"trace_id", trace_id}});
  }
}

awaitable<void> intake::keep(item what) {
  quantumflow::spool_entry entry;
  entry.kind = to_string(what.what);
  entry.key = what.key;
  entry.body = base::write_json(what.body);
  entry.may_be_dropped = what.what == kind::proposal_metrics || what.what == kind::agent_metrics;
  auto append = [spool = spool_, entry = std::move(entry)]() mutable { return spool->append(std::move(entry)); };
  ++arriving_;
  std::exception_ptr failure;
  std::optional<base::error> refused;
  try {
    const auto kept = co_await async::run_blocking(std::move(append));
    if (!kept) refused = kept.error();
  } catch (...) {
    failure = std::current_exception();
  }
  --arriving_;
  show();
  if (failure) std::rethrow_exception(failure);
  if (refused) throw base::failure(*refused);
  figures_->spooled.increment();
  arrived_.notify();
}

/// Once through the spool, from its oldest item.
struct intake::round {
  std::int64_t at = 0;                 ///< the last item looked at
  std::set<std::string> waiting = {};  ///< proposals that were passed over: too many wait to be sent
};

/// What becomes of some items once their transaction is committed.
struct intake::batch {
  struct refusal {
    const quantumflow::spool_entry& entry;
    std::string why;
  };
  std::vector<item> applied = {};
  std::vector<refusal> refused = {};
  std::vector<quantumflow::spool_outcome> outcomes = {};
  std::set<std::string> waiting;
};

awaitable<void> intake::replay(async::stop_token stop, std::function<void()> turned) {
  async::backoff backoff(async::backoff_policy{std::chrono::milliseconds(100), std::chrono::seconds(2), 2.0, 0.2});
  while (!stop.soft_requested()) {
    std::optional<base::error> away;
    round current;
    try {
      co_await replay_round(stop, turned, current);
      co_await tidy();
      if (current.waiting.empty()) {
        co_await forget_old_keys();
        away_.over();
      }
      backoff.reset();
    } catch (const base::failure& failure) {
      away = failure.get();
      at_once_ = 1;  // whatever one of them runs into, those before it get through
    }
    show();
    if (away) {
      if (!is_away(*away)) waits_.occurred(away->message, "replay");
      const auto delay = backoff.next(async::random01());
      co_await stop.sleep_for(delay);
    } else {
      const bool all_done = current.waiting.empty() && (!spool_ || spool_->stats().lingering == 0);
      const std::chrono::milliseconds pause = all_done ? until_woken : until_room;
      co_await arrived_.wait_for(pause, stop);
    }
  }
}

awaitable<void> intake::replay_round(async::stop_token stop, std::function<void()> turned, round& current) {
  if (turned) turned();
  if (!spool_) co_return;
  while (!stop.soft_requested()) {
    const bool more = co_await replay_batch(current);
    if (turned) turned();
    show();
    if (!more) co_return;
  }
}

awaitable<void> intake::flush(std::chrono::milliseconds limit) {
  if (!spool_) co_return;
  const auto until = std::chrono::steady_clock::now() + limit;
  round last;
  bool more = spool_->stats().entries > 0;
  try {
    while (more && std::chrono::steady_clock::now() < until) more = co_await replay_batch(last);
  } catch (const base::failure& failure) {
    away_.occurred(failure.what(), "flush");
  }
  show();
  const auto left = spool_->stats().entries;
  if (left > 0) with_.log.info("spool_kept", "is handed over after the next start", {{"entries", left}});
}

/// What was applied and cannot be taken out, because the disk is full, holds up nothing that is behind it: it is tried
/// again, and a process that is started before that works finds its key known.
void intake::taken_out(const base::result<void>& done) {
  if (done) return;
  waits_.occurred(done.error().message, "replay");
}

awaitable<void> intake::tidy() {
  if (spool_ && spool_->stats().lingering > 0) {
    auto call = [spool = spool_] { return spool->tidy(); };
    const auto done = co_await async::run_blocking(std::move(call));
    taken_out(done);
    if (!done) co_return;
  }
  waits_.over();
}

awaitable<void> intake::forget_old_keys() {
  auto connection = co_await with_.connections.acquire(connection_wait);
  auto arguments = postgres::make_params(with_.self);
  co_await connection->query("select singularity.trim_accepted($1)", std::move(arguments));
}

/// One transaction here and one on the disk for all of them: one for each would be slower than calls that come in side
/// by side, and those go behind what is kept. False: nothing was left.
awaitable<bool> intake::replay_batch(round& current) {
  auto look = [spool = spool_, after = current.at, max = at_once_] { return spool->oldest(max, after); };
  auto read = co_await async::run_blocking(std::move(look));
  const auto entries = from_spool(std::move(read));
  if (entries.empty()) co_return false;
  batch done{.waiting = current.waiting};
  const auto work = [&](postgres::transaction& in) -> awaitable<void> {
    for (const auto& entry : entries) co_await replay_one(in, entry, done);
  };
  co_await transact(with_.connections, work);
  at_once_ = std::min(2 * at_once_, most_at_once);
  current.at = entries.back().sequence;
  current.waiting = std::move(done.waiting);
  for (const auto& each : done.applied) applied(each);
  for (const auto& each : done.refused) {
    with_.log.error("spool_quarantined", "an item of the spool was refused and set aside",
                    {{"kind", each.entry.kind}, {"sequence", each.entry.sequence}, {"error", each.why}});
    done.outcomes.push_back({each.entry.sequence, each.why});
  }
  figures_->replayed.increment(static_cast<double>(done.applied.size()));
  auto settle = [spool = spool_, outcomes = std::move(done.outcomes)]() mutable {
    return spool->settle(std::move(outcomes));
  };
  const auto settled = co_await async::run_blocking(std::move(settle));
  taken_out(settled);
  co_return true;
}

/// With a savepoint, so that what is refused leaves the others as they are.
awaitable<void> intake::replay_one(postgres::transaction& in, const quantumflow::spool_entry& entry, batch& into) {
  const auto known = parse_kind(entry.kind);
  auto body = base::parse_json_object(entry.body);
  std::optional<base::error> refused;
  if (!known || !body) {
    refused = base::make_error(base::error_kind::invalid_input, known ? body.error().message : "an unknown kind");
  } else {
    item what{*known, entry.key, std::move(*body)};
    const auto id = proposal_of(what.body);
    // Proposals keep their order, and what belongs to one does not overtake it.
    if (!into.waiting.empty() && (*known == kind::proposal || into.waiting.count(id) != 0)) {
      if (*known == kind::proposal) into.waiting.insert(id);
      co_return;
    }
    const auto apply = [&]() -> awaitable<void> { co_await apply_in(in, what); };
    try {
      co_await postgres::in_savepoint(in, apply);
    } catch (const postgres::sql_error& failure) {
      using postgres::sql_kind;
      if (failure.kind() != sql_kind::invalid_input && failure.kind() != sql_kind::constraint) throw;
      refused = failure.get();
    } catch (const base::failure& failure) {
      refused = failure.get();
    }
    if (refused && is_away(*refused)) {
      // The database took the question and said that there is no room.
      into.waiting.insert(id);
      co_return;
    }
    if (!refused) {
      into.applied.push_back(std::move(what));
      into.outcomes.push_back({entry.sequence});
    }
  }
  if (refused) into.refused.push_back({entry, refused->message});
}

}  // namespace fleet::agent::intake
