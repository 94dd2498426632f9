#include "tests/system/faults/power_cut/undo.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <utility>
#include <vector>

#include "tests/system/faults/power_cut/log_record.hpp"

namespace fleet::test::faults {

namespace fs = std::filesystem;

std::size_t undo_unsynced(const std::string& log_path) {
  std::map<std::string, std::vector<std::pair<undo_record, std::string>>> open_writes;
  std::ifstream log(log_path, std::ios::binary);
  for (undo_record record{}; log.read(reinterpret_cast<char*>(&record), sizeof record);) {
    std::string old(record.length, '\0');
    // The process may have died in the middle of noting: then it had not written yet.
    if (!log.read(old.data(), static_cast<std::streamsize>(old.size()))) break;
    auto& writes = open_writes[record.path];
    if (record.synced != 0) {
      writes.clear();
    } else {
      writes.emplace_back(record, std::move(old));
    }
  }
  std::size_t undone = 0;
  for (const auto& [path, writes] : open_writes) {
    if (!fs::exists(path)) continue;
    for (auto write = writes.rbegin(); write != writes.rend(); ++write) {
      std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(static_cast<std::streamoff>(write->first.offset));
      file.write(write->second.data(), static_cast<std::streamsize>(write->second.size()));
      file.close();
      fs::resize_file(path, write->first.old_size);
      ++undone;
    }
    const auto shared_memory = path.substr(0, path.rfind("-wal")) + "-shm";
    fs::remove(shared_memory);
  }
  fs::remove(log_path);
  return undone;
}

}  // namespace fleet::test::faults
