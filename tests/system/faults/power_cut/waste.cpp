// Preloaded with power_cut.cpp: where POWER_CUT_WASTES is set, the agent costs what it must not cost (a broken
// variant).
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t hoarded_bytes = std::size_t{100} << 20U;

/// A fifth of a core, and 100 MiB that are really there.
[[noreturn]] void waste() {
  using namespace std::chrono_literals;
  static const std::vector<char> hoard(hoarded_bytes, 'x');
  while (true) {
    const auto until = std::chrono::steady_clock::now() + 10ms;
    while (std::chrono::steady_clock::now() < until) {
    }
    std::this_thread::sleep_for(40ms);
  }
}

/// The agent's own process: its children inherit what is preloaded.
[[gnu::constructor]] void begin() {
  if (std::getenv("POWER_CUT_WASTES") == nullptr) return;
  if (std::string_view(program_invocation_short_name) != "singularity_agent") return;
  // Signals are the agent's affair.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread(waste).detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
