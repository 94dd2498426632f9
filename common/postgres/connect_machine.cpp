#include "common/postgres/connect_machine.hpp"

namespace fleet::postgres {

namespace {
std::size_t first_not_in(const std::set<std::size_t>& skipped) {
  std::size_t host = 0;
  while (skipped.count(host) != 0) ++host;
  return host;
}
}  // namespace

connect_machine::action connect_machine::begin() {
  current_ = first_not_in(skipped_);
  return {action_kind::start, true};
}

connect_machine::action connect_machine::wait(action_kind what, std::size_t host) {
  const bool other = host != current_;
  current_ = host;
  return {what, other};
}

connect_machine::action connect_machine::skip_host() {
  skipped_.insert(current_);
  if (skipped_.size() < hosts_) return begin();
  timed_out_ = true;
  done_ = true;
  return {action_kind::fail, false};
}

connect_machine::action connect_machine::resume(event happened) {
  if (done_) return {action_kind::fail, false};
  switch (happened.what) {
    case event_kind::began:
      // libpq's rule: right after the start, behave as if the socket were wanted for writing.
      return wait(action_kind::wait_write, current_);
    case event_kind::polled_reading:
      return wait(action_kind::wait_read, happened.host);
    case event_kind::polled_writing:
      return wait(action_kind::wait_write, happened.host);
    case event_kind::ready:
      return {action_kind::poll, false};
    case event_kind::timed_out:
      return skip_host();
    case event_kind::polled_ok:
      done_ = true;
      return {action_kind::finish, false};
    case event_kind::failed:
      break;
  }
  done_ = true;
  return {action_kind::fail, false};
}

}  // namespace fleet::postgres
