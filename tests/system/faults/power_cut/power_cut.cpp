// Preloaded into an agent: makes a power cut possible without cutting the power. What is written to the spool's files
// goes through, and what it replaces is noted in a log until an fsync says that it is on the disk. After `kill -9` the
// suite takes back, from that log, all that no fsync covers: the files are as a machine would find them after a power
// cut.
//   POWER_CUT_PATH  the files whose name begins so (SQLite's -shm excepted: it is rebuilt)
//   POWER_CUT_LOG   the log
//   POWER_CUT_LIES  set: an fsync is not believed, as if the program had never called it (a broken variant)
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include "tests/system/faults/power_cut/log_record.hpp"

namespace {

using fleet::test::faults::undo_record;

template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

std::mutex& order() {
  static std::mutex one;
  return one;
}

/// The name of a file that counts; empty for all others.
std::string watched(int fd) {
  static const char* const wanted = std::getenv("POWER_CUT_PATH");
  if (wanted == nullptr) return {};
  std::array<char, 4096> name{};
  const auto link = "/proc/self/fd/" + std::to_string(fd);
  const auto size = ::readlink(link.c_str(), name.data(), name.size());
  if (size <= 0) return {};
  std::string path(name.data(), static_cast<std::size_t>(size));
  return path.starts_with(wanted) && !path.ends_with("-shm") ? path : std::string();
}

void note(const undo_record& record, std::string_view old) {
  static const int log = [] {
    const char* path = std::getenv("POWER_CUT_LOG");
    return path == nullptr ? -1 : ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }();
  std::string bytes(reinterpret_cast<const char*>(&record), sizeof record);
  bytes += old;
  // Not the interposed one; a short write would make the log useless, so there is none to go on from.
  if (log < 0 || ::write(log, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
}

undo_record record_for(const std::string& path, int fd) {
  undo_record record{};
  path.copy(record.path, sizeof record.path - 1);
  struct stat now {};
  ::fstat(fd, &now);
  record.old_size = static_cast<std::uint64_t>(now.st_size);
  return record;
}

/// Notes what `count` bytes from `offset` on are now.
void note_content(const std::string& path, int fd, off_t offset, std::size_t count) {
  auto record = record_for(path, fd);
  std::string old(count, '\0');
  const auto got = ::pread(fd, old.data(), count, offset);
  old.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  record.offset = static_cast<std::uint64_t>(offset);
  record.length = old.size();
  note(record, old);
}

void note_sync(int fd) {
  static const bool lies = std::getenv("POWER_CUT_LIES") != nullptr;
  const auto path = watched(fd);
  if (path.empty() || lies) return;
  auto record = record_for(path, fd);
  record.synced = 1;
  const std::scoped_lock in_turn(order());
  note(record, {});
}

ssize_t write_at(int fd, const void* data, std::size_t count, off_t offset) {
  static auto* const call = real<ssize_t(int, const void*, std::size_t, off_t)>("pwrite64");
  const auto path = watched(fd);
  if (path.empty()) return call(fd, data, count, offset);
  const std::scoped_lock in_turn(order());
  note_content(path, fd, offset, count);
  return call(fd, data, count, offset);
}

int cut_to(int fd, off_t size) {
  static auto* const call = real<int(int, off_t)>("ftruncate64");
  const auto path = watched(fd);
  if (path.empty()) return call(fd, size);
  const std::scoped_lock in_turn(order());
  struct stat now {};
  ::fstat(fd, &now);
  note_content(path, fd, size, now.st_size > size ? static_cast<std::size_t>(now.st_size - size) : 0);
  return call(fd, size);
}

}  // namespace

extern "C" {

ssize_t pwrite(int fd, const void* data, std::size_t count, off_t offset) {
  return write_at(fd, data, count, offset);
}
ssize_t pwrite64(int fd, const void* data, std::size_t count, off_t offset) {
  return write_at(fd, data, count, offset);
}
int ftruncate(int fd, off_t size) noexcept {
  return cut_to(fd, size);
}
int ftruncate64(int fd, off_t size) noexcept {
  return cut_to(fd, size);
}
int fsync(int fd) {
  static auto* const call = real<int(int)>("fsync");
  const int done = call(fd);
  if (done == 0) note_sync(fd);
  return done;
}
int fdatasync(int fd) {
  static auto* const call = real<int(int)>("fdatasync");
  const int done = call(fd);
  if (done == 0) note_sync(fd);
  return done;
}

}  // extern "C"
