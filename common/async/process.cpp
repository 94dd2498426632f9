// By posix_spawn and a pidfd, not by Boost.Process v2: its 1.81 waits by a process-wide SIGCHLD handler, has no process
// groups, and closes the other descriptors of the child only when asked for each launch.
#include "common/async/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <memory>

#include "common/async/event.hpp"
#include "common/base/error.hpp"
#include "common/base/text.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace fleet::async {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

namespace {

/// How long the output is read on after the process has ended, where a process it left behind keeps the pipe open.
constexpr std::chrono::milliseconds drain_limit{250};

class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int number) : number_(number) {}
  descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

struct pipe_ends {
  descriptor read;
  descriptor write;
};

[[noreturn]] void fail(base::error_kind kind, const std::string& doing, int code) {
  throw base::failure(base::make_error(kind, doing + ": " + std::strerror(code)));
}

pipe_ends make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail(base::error_kind::unavailable, "making a pipe", errno);
  return {descriptor(ends[0]), descriptor(ends[1])};
}

bool is_for_children(std::string_view name) {
  return name != "CREDENTIALS_DIRECTORY" && !(name.starts_with("PGFLOW_") && name.ends_with("_URL"));
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& extra) {
  std::vector<std::string> all;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view entry(*at);
    const auto name = entry.substr(0, entry.find('='));
    if (is_for_children(name) && extra.find(std::string(name)) == extra.end()) all.emplace_back(entry);
  }
  for (const auto& [name, value] : extra) {
    all.emplace_back(name).append("=").append(value);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

/// What posix_spawn is told: the standard streams, no other descriptor, an own process group, and default signals (a
/// daemon that ignores SIGPIPE must not pass that on).
class spawn_plan {
 public:
  spawn_plan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t signals;
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  spawn_plan(const spawn_plan&) = delete;
  spawn_plan& operator=(const spawn_plan&) = delete;
  ~spawn_plan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  void streams(int in, int out, int err) {
    posix_spawn_file_actions_adddup2(&actions_, in, 0);
    posix_spawn_file_actions_adddup2(&actions_, out, 1);
    posix_spawn_file_actions_adddup2(&actions_, err, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions_, 3);
  }
  void directory(const std::string& path) { posix_spawn_file_actions_addchdir_np(&actions_, path.c_str()); }

  pid_t run(std::vector<std::string> arguments, std::vector<std::string> environment) {
    pid_t pid = -1;
    auto argument_pointers = pointers(arguments);
    auto environment_pointers = pointers(environment);
    const int code = ::posix_spawnp(&pid, argument_pointers.front(), &actions_, &attributes_, argument_pointers.data(),
                                    environment_pointers.data());
    if (code == 0) return pid;
    const auto kind = code == ENOENT || code == ENOTDIR   ? base::error_kind::not_found
                      : code == EACCES || code == ENOEXEC ? base::error_kind::refused
                                                          : base::error_kind::unavailable;
    fail(kind, "running " + arguments.front(), code);
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

/// What the coroutines around one process share.
struct running {
  explicit running(const asio::any_io_executor& executor)
      : in(executor), out(executor), err(executor), exit(executor) {}

  asio::posix::stream_descriptor in;
  asio::posix::stream_descriptor out;
  asio::posix::stream_descriptor err;
  asio::posix::stream_descriptor exit;  // a pidfd: readable when the process has ended
  pid_t pid = -1;
  bool exited = false;
  bool stop_asked = false;
  int readers = 0;
  event changed;
  std::string stdin_text;
  std::size_t max_output_bytes = 0;
  process_result result;
};
using shared_running = std::shared_ptr<running>;

/// Whatever way the coroutine ends: no process of the group stays, no zombie, no open descriptor. The group is killed
/// while its leader is not yet waited for: until then nobody else can have its number.
class reaper {
 public:
  explicit reaper(shared_running of) : of_(std::move(of)) {}
  reaper(const reaper&) = delete;
  reaper& operator=(const reaper&) = delete;
  ~reaper() {
    if (of_->pid > 0) collect(true);
    boost::system::error_code ignored;
    for (auto* stream : {&of_->in, &of_->out, &of_->err, &of_->exit}) stream->close(ignored);
  }

  void signal_group(int number) {
    if (of_->pid > 0) ::kill(-of_->pid, number);
  }

  /// Asked of the kernel: a loop that is behind takes the timer while it does not know of the exit yet.
  bool has_exited() const {
    siginfo_t how{};
    return ::waitid(P_PID, static_cast<id_t>(of_->pid), &how, WEXITED | WNOHANG | WNOWAIT) == 0 && how.si_pid != 0;
  }

  siginfo_t collect(bool kill_group) {
    if (kill_group) signal_group(SIGKILL);
    siginfo_t how{};
    while (::waitid(P_PID, static_cast<id_t>(of_->pid), &how, WEXITED) != 0 && errno == EINTR) {
    }
    of_->pid = -1;
    return how;
  }

 private:
  shared_running of_;
};

/// Writing to a program that does not read its input must be an error, not the end of this process.
void ignore_broken_pipes() {
  struct sigaction now {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) ::signal(SIGPIPE, SIG_IGN);
}

asio::awaitable<void> feed(shared_running of) {
  co_await asio::async_write(of->in, asio::buffer(of->stdin_text), asio::as_tuple(asio::use_awaitable));
  boost::system::error_code ignored;
  of->in.close(ignored);
}

struct stream_of {
  asio::posix::stream_descriptor running::*stream;
  std::string process_result::*text;
  bool process_result::*truncated;
};

asio::awaitable<void> collect_output(shared_running of, stream_of which) {
  std::vector<char> chunk(16U * 1024);
  auto& text = of->result.*which.text;
  while (true) {
    auto [failed, size] =
        co_await (of.get()->*which.stream).async_read_some(asio::buffer(chunk), asio::as_tuple(asio::use_awaitable));
    if (failed) break;
    const std::size_t kept = std::min(size, of->max_output_bytes - text.size());
    text.append(chunk.data(), kept);
    if (kept < size) of->result.*which.truncated = true;
  }
  --of->readers;
  of->changed.notify();
}

asio::awaitable<void> watch_exit(shared_running of) {
  const auto [failed] =
      co_await of->exit.async_wait(asio::posix::stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
  if (failed) co_return;
  of->exited = true;
  of->changed.notify();
}

void launch(const shared_running& of, const process_spec& spec) {
  std::vector<std::string> arguments = spec.argv;
  if (arguments.empty()) arguments = {"/bin/sh", "-c", spec.shell_command};
  // By itself posix_spawn cannot say whether the program or the directory is missing.
  if (!spec.working_directory.empty() && ::access(spec.working_directory.c_str(), X_OK) != 0) {
    fail(errno == EACCES ? base::error_kind::refused : base::error_kind::not_found,
         "running " + arguments.front() + " in " + spec.working_directory, errno);
  }
  auto in = make_pipe();
  auto out = make_pipe();
  auto err = make_pipe();
  spawn_plan plan;
  if (!spec.working_directory.empty()) plan.directory(spec.working_directory);
  plan.streams(in.read.get(), out.write.get(), err.write.get());
  of->pid = plan.run(std::move(arguments), merged_environment(spec.environment));
  descriptor exit(static_cast<int>(::syscall(SYS_pidfd_open, of->pid, 0)));
  if (exit.get() < 0) fail(base::error_kind::unavailable, "watching a process", errno);
  of->in.assign(in.write.release());
  of->out.assign(out.read.release());
  of->err.assign(err.read.release());
  of->exit.assign(exit.release());
}

void start_tasks(const asio::any_io_executor& executor, const shared_running& of) {
  const stream_of out{&running::out, &process_result::standard_output, &process_result::output_truncated};
  const stream_of err{&running::err, &process_result::standard_error, &process_result::error_truncated};
  of->readers = 2;
  asio::co_spawn(executor, feed(of), asio::detached);
  asio::co_spawn(executor, collect_output(of, out), asio::detached);
  asio::co_spawn(executor, collect_output(of, err), asio::detached);
  asio::co_spawn(executor, watch_exit(of), asio::detached);
}

}  // namespace

asio::awaitable<process_result> run_process(process_spec spec) {
  const auto executor = co_await asio::this_coro::executor;
  const auto started = clock::now();
  const auto of = std::make_shared<running>(executor);
  reaper guard(of);
  ignore_broken_pipes();
  of->stdin_text = std::move(spec.stdin_text);
  of->max_output_bytes = spec.max_output_bytes;
  launch(of, spec);
  start_tasks(executor, of);
  const subscription on_stop = spec.stop.on_hard([raw = of.get()] {
    raw->stop_asked = true;
    raw->changed.notify();
  });

  auto next = started + spec.timeout;  // SIGTERM, and after that SIGKILL
  bool killed = false;
  while (!of->exited) {
    co_await of->changed.wait_for(std::max(clock::duration::zero(), next - clock::now()));
    const bool time_over = clock::now() >= next;
    if (of->exited || killed || (!of->stop_asked && !time_over)) continue;
    if (guard.has_exited()) break;
    if (of->stop_asked) {
      guard.signal_group(SIGKILL);
      killed = of->result.stopped = true;
      next = clock::now() + longest_wait;
    } else {
      guard.signal_group(of->result.timed_out ? SIGKILL : SIGTERM);
      killed = of->result.timed_out;
      of->result.timed_out = true;
      next = killed ? clock::now() + longest_wait : clock::now() + spec.kill_grace;
    }
  }
  const siginfo_t how = guard.collect(of->result.timed_out || of->result.stopped);
  if (how.si_code == CLD_EXITED) {
    of->result.exit_code = how.si_status;
  } else {
    of->result.signal = how.si_status;
  }
  const auto drained = clock::now() + drain_limit;
  while (of->readers > 0 && clock::now() < drained) co_await of->changed.wait_for(drained - clock::now());
  of->result.duration = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - started);
  co_return of->result;
}

std::string process_result::describe() const {
  std::string text =
      signal != 0 ? "ended by signal " + std::to_string(signal) : "exit code " + std::to_string(exit_code);
  if (timed_out) text += ", after its time was over";
  if (stopped) text += ", stopped";
  return text + " (" + std::to_string(duration.count()) + " ms)";
}

std::string process_result::failure() const {
  auto said = base::tail_of(base::mask_secrets(standard_error.empty() ? standard_output : standard_error), 1000);
  std::replace(said.begin(), said.end(), '\n', ' ');
  return said.empty() ? describe() : describe() + ": " + said;
}

}  // namespace fleet::async
