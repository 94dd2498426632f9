// A queue that is measured. Each has a database of its own on the one server, made anew from a template for every
// figure, so that all begin equally empty.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/queue_bench/load.hpp"
#include "tests/support/private_postgres.hpp"

namespace fleet::bench {

/// What the tables hold on disk, indexes included, while messages pass through and rotation frees what is read.
struct disk_use {
  double messages = 0;
  double interval_seconds = 0;
  double interval_bytes = 0;  ///< what an interval's messages take
  double held_bytes = 0;      ///< at the end
  double most_bytes = 0;
};

class subject {
 public:
  subject(std::string name, test::private_postgres& server) : name_(std::move(name)), server_(server) {}
  virtual ~subject() = default;
  subject(const subject&) = delete;
  subject& operator=(const subject&) = delete;

  const std::string& name() const { return name_; }
  std::string database() const { return "bench_" + name_; }
  std::string url() const { return server_.url(database()); }

  /// Makes the template. Throws std::runtime_error with the reason where this queue cannot run here.
  void prepare();
  /// A fresh database.
  void renew();

  /// Measured in the first round only: one round of it takes as long as all of the others'.
  virtual bool slow() const { return false; }

  // What a queue has no form of gives nothing.
  virtual std::optional<tally> publish(const publish_load&) { return std::nullopt; }
  /// Single publishes of many callers in one process, each waiting for its own, where the queue's library joins them.
  virtual std::optional<tally> publish_together(int /*callers*/, milliseconds /*duration*/) { return std::nullopt; }
  /// A backlog published beforehand, drained by that many workers.
  virtual std::optional<tally> drain(long /*backlog*/, int /*workers*/) { return std::nullopt; }
  virtual std::optional<flow_result> flow(const flow_load&) { return std::nullopt; }
  /// Single publishes on 8 connections to that many instances.
  virtual std::optional<tally> fan_out(int /*instances*/, milliseconds /*duration*/) { return std::nullopt; }
  virtual std::optional<disk_use> disk_with_rotation(long /*messages*/) { return std::nullopt; }

 protected:
  /// Makes the schema and the queues in the empty database.
  virtual void make_schema() = 0;
  test::private_postgres& server() { return server_; }

 private:
  std::string name_;
  test::private_postgres& server_;
};

std::unique_ptr<subject> make_ours(test::private_postgres& server);
enum class raw_form { insert, copy };
std::unique_ptr<subject> make_raw(test::private_postgres& server, raw_form form);
/// `recommended` is pgqd as its template sets it: a tick every second at the most; `fast` ticks every 10 ms.
enum class pgq_ticks { recommended, fast };
std::unique_ptr<subject> make_pgq(test::private_postgres& server, pgq_ticks ticks);
/// A queue that is used through Node: `file` in `folder`, where npm has installed what it needs.
struct node_program {
  std::string name;
  std::string folder;
  std::string file;
};
std::unique_ptr<subject> make_node_rival(test::private_postgres& server, node_program program);

}  // namespace fleet::bench
