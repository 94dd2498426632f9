#include "singularity_agent/instance_claim.hpp"

#include <utility>

#include "common/telemetry/episode.hpp"
#include "singularity_agent/database.hpp"

namespace fleet::agent {
namespace {

using boost::asio::awaitable;

constexpr std::chrono::milliseconds between_tries{500};
/// How long the listening session is waited for before the claim is made without one.
constexpr std::chrono::seconds session_wait{2};

}  // namespace

instance_claim::instance_claim(parts with) : with_(std::move(with)), run_(base::new_uuid()) {
  with_.health.require("instance");
}

awaitable<std::optional<std::string>> instance_claim::claim(bool listening) {
  auto arguments = postgres::make_params(with_.self, run_, with_.holder, listening, with_.lease.count());
  const std::string statement = "select singularity.claim_instance($1, $2, $3, $4, $5) as held_by";
  if (listening) {
    const auto answer = co_await with_.waker.execute(statement, std::move(arguments));
    co_return answer.single().get<std::optional<std::string>>("held_by");
  }
  auto connection = co_await with_.connections.acquire(connection_wait);
  const auto answer = co_await connection->query(statement, std::move(arguments));
  co_return answer.single().get<std::optional<std::string>>("held_by");
}

awaitable<bool> instance_claim::acquire(async::stop_token stop) {
  telemetry::episode refused(with_.log, "instance_held", "instance_claimed", "this process is the instance now");
  if (!with_.waker.listening()) co_await session_up_.wait_for(session_wait, stop);
  while (!stop.soft_requested()) {
    std::string why;
    try {
      const auto held_by = co_await claim(with_.waker.listening());
      if (!held_by) {
        held_ = true;
        with_.health.set("instance", true);
        refused.over();
        co_return true;
      }
      why = "another agent is the instance " + with_.self.str() + ": " + *held_by;
    } catch (const base::failure& failure) {
      why = failure.what();
    }
    with_.health.set("instance", false, why);
    refused.occurred(why, "start");
    co_await stop.sleep_for(between_tries);
  }
  co_return false;
}

awaitable<void> instance_claim::follow_session(async::stop_token stop) {
  while (!stop.soft_requested()) {
    std::optional<std::string> held_by;
    if (with_.waker.listening()) held_by = co_await claim(true);
    if (held_by) {
      auto error = base::make_error(base::error_kind::refused, "another agent is the instance: " + *held_by);
      throw base::failure(std::move(error));
    }
    co_await session_up_.wait_for(async::longest_wait, stop);
  }
}

awaitable<std::optional<std::string>> instance_claim::renew(postgres::connection& on) {
  auto arguments = postgres::make_params(with_.self, run_);
  const auto answer = co_await on.query("select singularity.renew_claim($1, $2) as held_by", std::move(arguments));
  co_return answer.single().get<std::optional<std::string>>("held_by");
}

awaitable<void> instance_claim::release() {
  if (!held_) co_return;
  try {
    auto connection = co_await with_.connections.acquire(connection_wait);
    auto arguments = postgres::make_params(with_.self, run_);
    co_await connection->query("select singularity.release_claim($1, $2)", std::move(arguments));
  } catch (const base::failure&) {
    // It ends with the session, or with the lease.
  }
}

}  // namespace fleet::agent
