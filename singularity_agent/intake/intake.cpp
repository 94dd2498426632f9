#include "singularity_agent/intake/intake.hpp"

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
#include "singularity_agent/database.hpp"

namespace fleet::agent::intake {
namespace {

using boost::asio::awaitable;
using boost::json::object;

constexpr std::chrono::hours until_woken{1};
/// Too many proposals wait to be sent, or the spool's disk is full: how soon it is tried again, unless something comes
/// in before.
constexpr std::chrono::seconds until_room{1};

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

template <class F>
auto blocking(F call) -> awaitable<std::invoke_result_t<F&>> {
  const auto executor = co_await boost::asio::this_coro::executor;
  auto& pool = async::blocking_pool::of(executor);
  co_return co_await pool.run(std::move(call));
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
      given.reply = co_await apply_once(taken, reached);
      co_return given;
    } catch (const postgres::sql_error& failure) {
      if (!spool_ || !is_away(failure.get())) throw;
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

/// In one transaction with its key; empty where it had been applied before.
awaitable<object> intake::apply_once(item what, bool& reached) {
  const auto kind_of = what.what;
  const auto work = [&](postgres::transaction& in) -> awaitable<object> {
    reached = true;
    auto arguments = postgres::make_params(with_.self, what.key);
    const auto rows = co_await in.query("select singularity.accept_once($1, $2::uuid)", std::move(arguments));
    object reply;
    if (rows.single().get<bool>(0)) reply = co_await with_.apply.apply(in, what.what, what.body);
    co_return reply;
  };
  auto reply = co_await transact(with_.connections, work);
  if (kind_of == kind::proposal) log_accepted(what.body);
  with_.apply.wake(kind_of);
  co_return reply;
}

void intake::log_accepted(const object& proposal) const {
  with_.log.info("proposal_accepted", "waits to be sent for consensus",
                 {{"proposal_id", std::string_view(proposal.at("proposal_id").as_string())},
                  {"trace_id", base::trace_id_of(messages::read_trace(proposal))}});
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
    const auto kept = co_await blocking(std::move(append));
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

awaitable<void> intake::replay(async::stop_token stop) {
  async::backoff backoff(async::backoff_policy{std::chrono::milliseconds(100), std::chrono::seconds(2), 2.0, 0.2});
  while (!stop.soft_requested()) {
    std::optional<base::error> away;
    round current;
    try {
      co_await replay_round(stop, current);
      co_await tidy();
      if (current.waiting.empty()) {
        co_await forget_old_keys();
        away_.over();
      }
      backoff.reset();
    } catch (const base::failure& failure) {
      away = failure.get();
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

awaitable<void> intake::replay_round(async::stop_token stop, round& current) {
  while (!stop.soft_requested()) {
    const auto done = co_await replay_one(current);
    show();
    if (done == progress::at_end) co_return;
  }
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
    const auto done = co_await blocking(std::move(call));
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

awaitable<intake::progress> intake::replay_one(round& current) {
  if (!spool_) co_return progress::at_end;
  auto look = [spool = spool_, after = current.at] { return spool->front(after); };
  auto front = co_await blocking(std::move(look));
  auto found = from_spool(std::move(front));
  if (!found) co_return progress::at_end;
  current.at = found->sequence;
  const auto sequence = found->sequence;
  std::optional<base::error> refused;
  item what;
  what.key = found->key;
  const auto known = parse_kind(found->kind);
  auto body = base::parse_json_object(found->body);
  if (!known || !body) {
    refused = base::make_error(base::error_kind::invalid_input, known ? body.error().message : "an unknown kind");
  } else {
    what.what = *known;
    what.body = std::move(*body);
    const auto id = proposal_of(what.body);
    // Proposals keep their order, and what belongs to one does not overtake it.
    if (!current.waiting.empty() && (*known == kind::proposal || current.waiting.count(id) != 0)) {
      if (*known == kind::proposal) current.waiting.insert(id);
      co_return progress::passed_over;
    }
    bool reached = false;
    try {
      co_await apply_once(std::move(what), reached);
      figures_->replayed.increment();
    } catch (const postgres::sql_error& failure) {
      using postgres::sql_kind;
      if (failure.kind() != sql_kind::invalid_input && failure.kind() != sql_kind::constraint) throw;
      refused = failure.get();
    } catch (const base::failure& failure) {
      if (is_away(failure.get()) && !reached) throw;
      if (is_away(failure.get())) {
        // The database took the question and said that there is no room.
        current.waiting.insert(id);
        co_return progress::passed_over;
      }
      refused = failure.get();
    }
  }
  if (refused) {
    with_.log.error("spool_quarantined", "an item of the spool was refused and set aside",
                    {{"kind", found->kind}, {"sequence", sequence}, {"error", refused->message}});
    auto aside = [spool = spool_, sequence, reason = refused->message] { return spool->quarantine(sequence, reason); };
    const auto done = co_await blocking(std::move(aside));
    taken_out(done);
    co_return progress::settled;
  }
  auto forget = [spool = spool_, sequence] { return spool->remove(sequence); };
  const auto done = co_await blocking(std::move(forget));
  taken_out(done);
  co_return progress::settled;
}

}  // namespace fleet::agent::intake
