// The power cut: what no fsync covers is gone afterwards, and only that.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "tests/support/daemons.hpp"
#include "tests/system/faults/power_cut/undo.hpp"

using namespace fleet::test;
using namespace fleet::test::faults;

namespace {

/// The library's own functions, called as a program under it would.
struct library {
  explicit library(const std::string& directory) : handle(nullptr) {
    ::setenv("POWER_CUT_PATH", (directory + "/file").c_str(), 1);
    ::setenv("POWER_CUT_LOG", (directory + "/log").c_str(), 1);
    handle = ::dlopen(daemon_binary("libpower_cut.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    REQUIRE(handle != nullptr);
  }
  template <class F>
  F* get(const char* name) const {
    return reinterpret_cast<F*>(::dlsym(handle, name));
  }
  void* handle;
};

std::string content_of(const std::string& path) {
  std::ifstream in(path);
  return {(std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("power cut: unsynced writes are gone, synced ones are not") {
  const auto directory = shell("mktemp -d");
  const auto path = directory + "/file", log = directory + "/log";
  std::ofstream(path) << "first line\n";
  const library under(directory);
  auto* const write = under.get<ssize_t(int, const void*, std::size_t, off_t)>("pwrite64");
  auto* const cut = under.get<int(int, off_t)>("ftruncate64");
  auto* const sync = under.get<int(int)>("fdatasync");
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  write(fd, "SYNCED", 6, 0);
  sync(fd);
  write(fd, "and more text", 13, 6);
  cut(fd, 3);
  CHECK(content_of(path) == "SYN");
  CHECK(undo_unsynced(log) == 2);
  CHECK(content_of(path) == "SYNCEDline\n");
  CHECK_FALSE(std::filesystem::exists(log));
  ::close(fd);
  std::filesystem::remove_all(directory);
}
