// What a consumer gets and what it answers.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/ids.hpp"
#include "common/base/time.hpp"

namespace fleet::quantumflow {

/// A message in hand: taken, not yet acknowledged.
struct message {
  base::message_id id{};
  std::string body;             ///< a JSON object
  base::timestamp enqueued_at;  ///< the database's clock
  int attempts = 0;             ///< failed attempts before this one
};

/// What became of one message.
struct outcome {
  enum class kind {
    done,      ///< acknowledged with the transaction
    failed,    ///< retried with backoff; dead-lettered after the last attempt
    rejected,  ///< can never be handled: dead-lettered at once
  };
  kind what = kind::done;
  std::string error;  ///< for `failed` and `rejected`: what an operator reads in the dead-letter queue
  std::optional<std::string> trace_id = {};  ///< of the message, where it has one: for the log
  bool exhausted = false;                    ///< failed for the last time; set by the consumer

  static outcome done() { return {}; }
  static outcome failed(std::string error) { return {kind::failed, std::move(error), {}}; }
  static outcome rejected(std::string error) { return {kind::rejected, std::move(error), {}}; }
};

/// What became of the message: done, retried, dead (after its last attempt) or rejected (dead at once).
std::string_view fate_of(const outcome& what);

}  // namespace fleet::quantumflow
