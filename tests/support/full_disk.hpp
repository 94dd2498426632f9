// A disk that takes no writes, for the files of this process.
#pragma once
#include <signal.h>
#include <sys/resource.h>

namespace fleet::test {

/// While it is there, writing to a file fails, or only behind its first bytes. Also to the one that the test's output
/// goes to: check nothing meanwhile.
class full_disk {
 public:
  explicit full_disk(rlim_t bytes = 0) : on_signal_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &usual_);
    const rlimit little{bytes, usual_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &little);
  }
  ~full_disk() {
    ::setrlimit(RLIMIT_FSIZE, &usual_);
    ::signal(SIGXFSZ, on_signal_);
  }
  full_disk(const full_disk&) = delete;
  full_disk& operator=(const full_disk&) = delete;

 private:
  void (*on_signal_)(int);
  rlimit usual_{};
};

}  // namespace fleet::test
