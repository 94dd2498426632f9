// The raw limit: rows inserted into one table with the index that the log has, and nothing else.
#include <mutex>

#include "tests/bench/queue_bench/payload.hpp"
#include "tests/bench/queue_bench/session.hpp"
#include "tests/bench/queue_bench/subject.hpp"

namespace fleet::bench {

namespace {

publish_call insert_call(const std::string& url, int batch) {
  const auto text = std::make_shared<payload>(batch == 1 ? encoding::object : encoding::array, batch);
  const std::string sql = batch == 1 ? "insert into message (stream_id, body) values (1, $1) returning msg_id"
                                     : "insert into message (stream_id, body) select 1, b from unnest($1::text[]) b";
  return
      [on = std::make_shared<session>(url), text, sql](long first) { on->query(sql, {text->numbered(first).c_str()}); };
}

publish_call copy_call(const std::string& url, int batch) {
  const auto text = std::make_shared<payload>(encoding::copy, batch);
  return [on = std::make_shared<session>(url), text](long first) {
    on->copy_in("copy message (stream_id, body) from stdin", text->numbered(first));
  };
}

/// A row is there when its insert is answered.
class nothing_to_consume final : public running_consumer {
  void stop() override {}
};

class raw final : public subject {
 public:
  raw(test::private_postgres& server, raw_form form)
      : subject(form == raw_form::insert ? "raw" : "raw_copy", server), form_(form) {}

  std::optional<tally> publish(const publish_load& load) override {
    // COPY of a single row is a round trip more than INSERT and nobody's limit.
    if (form_ == raw_form::copy && load.batch == 1) return std::nullopt;
    return publish_closed_loop(
        load, [&] { return form_ == raw_form::copy ? copy_call(url(), load.batch) : insert_call(url(), load.batch); });
  }

  /// One row a call, with nobody to consume it: what the machine gives. Its delay is from the call to its answer, which
  /// no durable queue can be faster than, and its pace is that of the disk.
  std::optional<flow_result> flow(const flow_load& load) override {
    if (form_ == raw_form::copy || load.batch != 1) return std::nullopt;
    flow_clock* clock = nullptr;
    std::mutex one_at_a_time;
    const auto open = [&]() -> publish_call {
      return [&, insert = insert_call(url(), 1)](long number) {
        insert(number);
        const std::lock_guard lock(one_at_a_time);
        clock->handled(number);
      };
    };
    return run_flow(load, open, [&](flow_clock& of) {
      clock = &of;
      return std::make_unique<nothing_to_consume>();
    });
  }

 private:
  void make_schema() override {
    session(url()).script(R"(
      create sequence message_id;
      create table message (
        stream_id   int not null,
        msg_id      bigint not null default nextval('message_id'),
        xid         xid8 not null default pg_current_xact_id(),
        enqueued_at timestamptz not null default clock_timestamp(),
        body        text not null);
      create index on message (stream_id, xid, msg_id))");
  }
  raw_form form_;
};

}  // namespace

std::unique_ptr<subject> make_raw(test::private_postgres& server, raw_form form) {
  return std::make_unique<raw>(server, form);
}

}  // namespace fleet::bench
