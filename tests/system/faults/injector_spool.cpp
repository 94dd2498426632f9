// Faults of an agent's spool: each while the database is away, so that there is something in it.
#include <filesystem>
#include <fstream>

#include "common/quantumflow/sqlite.hpp"
#include "tests/system/faults/injector.hpp"

namespace fleet::test::faults {

namespace {

constexpr int wanted_entries = 3;

/// The text of the newest proposal or pattern, after all that is in the log was written to the file itself.
std::string newest_in_file(const std::string& path) {
  quantumflow::sqlite::connection spool(path);
  spool.prepare("pragma wal_checkpoint(truncate)").step();
  auto newest = spool.prepare("select body from entry where kind in ('pattern', 'proposal') order by sequence desc");
  return newest.step() ? newest.text(0) : std::string();
}

/// False: the text does not stand in the file in one piece.
bool flip_last_byte(const std::string& path, const std::string& text) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  const auto at = text.empty() ? std::string::npos : content.rfind(text);
  if (at == std::string::npos) return false;
  const auto last = at + text.size() - 1;
  file.clear();
  file.seekp(static_cast<std::streamoff>(last));
  file.put(static_cast<char>(content[last] ^ 1));
  return file.good();
}

}  // namespace

void injector::on_spool(const planned_fault& fault) {
  auto& fleet = with_.fleet;
  if (fault.kind == fault_kind::spool_disk_full && !fleet.has_tmpfs)
    return skip(fault, "a small file system can be mounted by root only");
  const int before = with_.calls.spooled(fault.target);
  fleet.postgres.stop();
  const auto filled = [&] { return with_.calls.spooled(fault.target) >= before + wanted_entries; };
  if (!wait_until(filled, std::chrono::seconds(20)))
    with_.record.add({.kind = "note", .who = fault.target, .op = "few entries in the spool"});
  if (fault.kind == fault_kind::spool_disk_full) {
    return fill_disk(fault);
  }
  if (fault.kind == fault_kind::spool_power_cut) {
    entry cut{.kind = "note", .who = fault.target, .op = "power_cut"};
    cut.detail["writes_undone"] = fleet.cut_power(fault.target);
    with_.record.add(std::move(cut));
    start(fault.target);
  } else {
    fleet.process(fault.target).kill9();
    tear_spool(fault);
    start(fault.target);
  }
  const auto alive = [&] { return fleet.ask(fault.target, "/healthz") == 200; };
  wait_until(alive, std::chrono::seconds(10));
  let_pass(fault.lasts / 2);
  fleet.postgres.start();
}

/// Either a byte that changed on the disk, in an entry that then must be set aside, and only it; or what a power cut
/// leaves of a write under way, which was never acknowledged: also where no entry has a byte that could change.
void injector::tear_spool(const planned_fault& fault) {
  const auto path = with_.fleet.spool_path(fault.target);
  entry made{.kind = "note", .who = fault.target, .op = "torn"};
  const bool flips = fault.lasts.count() % 2 != 0;
  const auto body = flips ? newest_in_file(path) : std::string();
  if (flips && flip_last_byte(path, body)) {
    made.op = "flipped";
    made.detail["body"] = body;
  } else {
    std::ofstream(path + "-wal", std::ios::binary | std::ios::app) << std::string(777, '\x5a');
  }
  with_.record.add(std::move(made));
}

void injector::fill_disk(const planned_fault& fault) {
  const auto filler = with_.fleet.directory + "/agent-2/spool/filler";
  {
    std::ofstream out(filler, std::ios::binary);
    const std::string block(4'096, 'x');
    while (out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  let_pass(fault.lasts);
  with_.fleet.postgres.start();
  // The disk is still full, and what was accepted goes out all the same.
  const auto began = now();
  entry emptied{.kind = "recovery", .who = fault.target, .op = "replay with a full disk", .answer = "done"};
  if (!wait_until([&] { return spool_is_empty(fault.target); }, std::chrono::seconds(15))) {
    emptied.answer = "not";
    emptied.detail["lacking"] = "something is in the spool";
  }
  emptied.detail["seconds"] = now() - began;
  with_.record.add(std::move(emptied));
  std::filesystem::remove(filler);
}

}  // namespace fleet::test::faults
