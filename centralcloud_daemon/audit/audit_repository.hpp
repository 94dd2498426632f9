// The audit log: checking it, listing it, sealing it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/ids.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::central::audit {

/// JSON: {intact, entries, chains, seals, head, sealed_at, entries_since_seal, findings_total, findings: [{problem,
/// chain, seq, audit_id, at, action, proposal_id, explanation}]}. problem: changed, replaced, removed, order,
/// unrecorded, head. `head`: a hash noted before, which must still be there. At most 1,000 findings are told. Reads the
/// whole log: seconds for each million of entries. Throws `postgres::sql_error`.
boost::asio::awaitable<std::string> verify(postgres::connection& connection, std::optional<std::string> head);

struct list_options {
  std::optional<std::string> proposal;
  std::optional<std::int64_t> before;  ///< an audit_id, to page on
  std::int64_t max = 100;
};
/// A JSON array, newest first. Throws `postgres::sql_error`.
boost::asio::awaitable<std::string> list(postgres::connection& connection, list_options what);

struct seal {
  std::string head;  ///< stands for all that is in the log so far
  std::int64_t entries = 0;
};
/// Nothing where the last seal is younger than `min_age`, nothing was added, or somebody else is at it. Throws
/// `postgres::sql_error`.
boost::asio::awaitable<std::optional<seal>> seal_log(postgres::connection& connection,
                                                     std::chrono::milliseconds min_age);

/// Settings that a coordinator has taken over while it runs; `changes`: [{key, before, after}]. Throws
/// `postgres::sql_error`.
boost::asio::awaitable<void> note_reload(postgres::connection& connection, std::string coordinator,
                                         boost::json::array changes);

}  // namespace fleet::central::audit
