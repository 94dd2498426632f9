#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "singularity_agent/metrics/metrics_json.hpp"
#include "singularity_agent/metrics/proc_sampler.hpp"
#include "singularity_agent/metrics/prometheus_text.hpp"
#include "singularity_agent/metrics/url_sampler.hpp"
#include "tests/support/results.hpp"
#include "tests/support/run.hpp"

namespace fleet::agent::metrics {
namespace {

namespace fs = std::filesystem;
using base::decimal;

TEST_CASE("proc text: busy and total ticks; idle and iowait are idle, guest time is not counted twice") {
  const auto ticks = parse_proc_stat("cpu  100 10 50 800 40 5 5 20 90 9\ncpu0 1 2 3 4\n");
  REQUIRE(ticks);
  CHECK(ticks->busy == 190);
  CHECK(ticks->total == 1030);
  CHECK(parse_proc_stat("cpu 1 2 3 4")->total == 10);
  for (const auto* wrong : {"", "cpu", "cpu 1 2 x 4", "cpu0 1 2 3 4", "cpu 1 2 3", "cpu -1 2 3 4"})
    CHECK_FALSE(parse_proc_stat(wrong));
}

TEST_CASE("proc text: percent between readings") {
  CHECK(*busy_percent({100, 1000}, {150, 1200}) == Approx(25));
  CHECK(busy_percent({100, 1000}, {100, 1000}) == 0);
  CHECK_FALSE(busy_percent({100, 1000}, {50, 1200}));
  CHECK_FALSE(busy_percent({100, 1000}, {150, 900}));
  CHECK(busy_percent({100, 1000}, {900, 1100}) == 100);
}

TEST_CASE("proc text: processes, memory and control groups") {
  CHECK(*parse_pid_stat("42 (a ) b) S 1 1 1 0 -1 4194560 1 2 3 4 77 23 0 0 20 0") == 100);
  for (const auto* wrong : {"", "42 (a", "42 (a) S 1", "42 (a) S 1 1 1 0 -1 4194560 1 2 3 4 x 23"})
    CHECK_FALSE(parse_pid_stat(wrong));
  CHECK(parse_children("42 7 \n") == std::vector<std::string>{"42", "7"});
  CHECK(parse_children("").empty());
  CHECK(*parse_statm("500 20 3 1 0 4 0\n", 4096) == 81'920);
  CHECK_FALSE(parse_statm("500", 4096));
  CHECK(*parse_meminfo_used("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   400 kB\n") == 600 * 1024);
  CHECK_FALSE(parse_meminfo_used("MemTotal:  1000 kB\n"));
  CHECK(*parse_cgroup_cpu("usage_usec 123\nuser_usec 100\n") == 123);
  CHECK_FALSE(parse_cgroup_cpu("user_usec 100\n"));
  CHECK(*parse_single_number("4096\n") == 4096);
  CHECK_FALSE(parse_single_number("max\n"));
}

struct fake_proc {
  fake_proc() {
    std::string pattern = (fs::temp_directory_path() / "fleet-proc-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
    fs::create_directories(path / "7");
    fs::create_directories(path / "self");
  }
  fake_proc(const fake_proc&) = delete;
  fake_proc& operator=(const fake_proc&) = delete;
  ~fake_proc() { fs::remove_all(path); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
  fs::path path;
};

TEST_CASE("proc sampler: memory at once, processor use after a second") {
  const fake_proc proc;
  proc.write("stat", "cpu 100 0 0 900\n");
  proc.write("meminfo", "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n");
  std::chrono::steady_clock::time_point now{};
  proc_sampler machine(whole_machine{}, proc.path, [&] { return now; });
  const auto first = machine.sample_now();
  REQUIRE(first);
  CHECK(*first == messages::metric_set{{"memory", decimal::from_int(3)}});
  proc.write("stat", "cpu 150 0 0 950\n");
  now += std::chrono::seconds(1);
  const auto second = machine.sample_now();
  REQUIRE(second);
  CHECK(second->at("cpu_usage") == decimal::from_int(50));

  // A busy moment is no busy machine: until a second is over, the last figure stands; then all of it counts.
  proc.write("stat", "cpu 160 0 0 950\n");
  now += std::chrono::milliseconds(999);
  CHECK(machine.sample_now()->at("cpu_usage") == decimal::from_int(50));
  proc.write("stat", "cpu 160 0 0 990\n");
  now += std::chrono::milliseconds(1);
  CHECK(machine.sample_now()->at("cpu_usage") == decimal::from_int(20));
}

TEST_CASE("proc sampler: the first figure comes after a second, not at the second sample") {
  const fake_proc proc;
  proc.write("stat", "cpu 100 0 0 900\n");
  proc.write("meminfo", "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n");
  std::chrono::steady_clock::time_point now{};
  proc_sampler machine(whole_machine{}, proc.path, [&] { return now; });
  CHECK(machine.sample_now()->count("cpu_usage") == 0);
  proc.write("stat", "cpu 110 0 0 900\n");
  now += std::chrono::milliseconds(100);
  CHECK(machine.sample_now()->count("cpu_usage") == 0);
}

TEST_CASE("proc sampler: the machine's figure is without the agent's own work and its commands'") {
  const fake_proc proc;
  proc.write("meminfo", "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n");
  proc.write("stat", "cpu 100 0 0 900\n");
  proc.write("self/stat", "7 (agent) S 1 1 1 0 -1 0 1 2 3 4 10 5 20 5 20 0");
  std::chrono::steady_clock::time_point now{};
  proc_sampler machine(whole_machine{}, proc.path, [&] { return now; });
  REQUIRE(machine.sample_now());
  // 80 of 100 ticks are busy: 10 of the agent, 50 of commands that have ended, 20 of somebody else.
  proc.write("stat", "cpu 180 0 0 920\n");
  proc.write("self/stat", "7 (agent) S 1 1 1 0 -1 0 1 2 3 4 15 10 60 15 20 0");
  now += std::chrono::seconds(10);
  CHECK(machine.sample_now()->at("cpu_usage") == decimal::from_int(20));
}

TEST_CASE("proc sampler: a command that still runs is no load of the machine's, nor is what it ends with") {
  const fake_proc proc;
  proc.write("meminfo", "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n");
  const auto agent = [&](int children_that_ended, const std::string& children) {
    proc.write("self/stat", fmt::format("7 (agent) S 1 1 1 0 -1 0 1 2 3 4 10 5 {} 0 20 0", children_that_ended));
    fs::create_directories(proc.path / "self/task/9");
    proc.write("self/task/9/children", children);
  };
  const auto process = [&](const std::string& pid, int ticks, const std::string& children) {
    fs::create_directories(proc.path / pid / "task" / pid);
    proc.write(pid + "/stat", fmt::format("{} (sh) S 1 1 1 0 -1 0 1 2 3 4 {} 0 0 0 20 0", pid, ticks));
    proc.write(pid + "/task/" + pid + "/children", children);
  };
  std::chrono::steady_clock::time_point now{};
  proc_sampler machine(whole_machine{}, proc.path, [&] { return now; });
  const auto usage = [&](int busy, int idle) -> std::optional<decimal> {
    proc.write("stat", fmt::format("cpu {} 0 0 {}\n", busy, idle));
    now += std::chrono::seconds(10);
    const auto sample = machine.sample_now();
    const auto found = sample->find("cpu_usage");
    return found == sample->end() ? std::nullopt : std::optional(found->second);
  };
  agent(20, "");
  CHECK_FALSE(usage(100, 900));
  // Of 60 busy ticks 10 are of the command and 30 of what it has started.
  agent(20, "42 ");
  process("42", 10, "43 ");
  process("43", 30, "");
  CHECK(usage(160, 940) == decimal::from_int(20));
  // Both have ended, after another 40: the 20 that are left are somebody else's.
  agent(100, "");
  CHECK(usage(220, 980) == decimal::from_int(20));
  // What they left behind is nobody's child any more, and its time gone from ours: not known, and no 0.
  agent(90, "");
  CHECK_FALSE(usage(300, 1000));
  CHECK(usage(330, 1070) == decimal::from_int(30));
}

TEST_CASE("proc sampler: one process, one control group, and one that is gone") {
  const fake_proc proc;
  proc.write("stat", "cpu 100 0 0 900\n");
  proc.write("7/stat", "7 (x) S 1 1 1 0 -1 0 1 2 3 4 10 0 0 0 20 0");
  proc.write("7/statm", "500 256 3 1 0 4 0\n");
  proc.write("cpu.stat", "usage_usec 1000000\n");
  proc.write("memory.current", "2097152\n");
  std::chrono::steady_clock::time_point now{};
  const auto clock = [&] { return now; };
  proc_sampler process(one_process{7}, proc.path, clock);
  proc_sampler group(control_group{proc.path}, proc.path, clock);
  const auto page_mib = static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1048576.0;
  CHECK(process.sample_now()->at("memory") == *decimal::from_double(256 * page_mib));
  CHECK(group.sample_now()->at("memory") == decimal::from_int(2));
  proc.write("stat", "cpu 150 0 0 1050\n");
  proc.write("7/stat", "7 (x) S 1 1 1 0 -1 0 1 2 3 4 20 10 0 0 20 0");
  proc.write("cpu.stat", "usage_usec 1500000\n");
  now += std::chrono::seconds(1);
  CHECK(process.sample_now()->at("cpu_usage") == decimal::from_int(10));
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK)) / 2.0;
  CHECK(group.sample_now()->at("cpu_usage") == *decimal::from_double(ticks / 200.0 * 100.0));
  proc_sampler gone(one_process{8}, proc.path);
  CHECK(gone.sample_now().error().kind == base::error_kind::unavailable);
  proc_sampler real(one_process{::getpid()});
  CHECK(real.sample_now()->at("memory") > decimal::from_int(0));
}

class scripted_sampler final : public sampler {
 public:
  explicit scripted_sampler(base::result<messages::metric_set> answer) : answer_(std::move(answer)) {}
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override { co_return answer_; }

 private:
  base::result<messages::metric_set> answer_;
};

TEST_CASE("composite sampler: the later one counts, a failing one loses nothing, is counted, and told once") {
  boost::asio::io_context io;
  const messages::metric_set low{{"memory", decimal::from_int(1)}, {"cpu_usage", decimal::from_int(1)}};
  const messages::metric_set high{{"memory", decimal::from_int(2)}};
  const auto failure = base::make_error(base::error_kind::timeout, "too slow");
  std::vector<std::string> lines;
  composite_sampler all(telemetry::logger::to_sink([&](std::string_view line) { lines.emplace_back(line); }));
  all.add("proc", std::make_unique<scripted_sampler>(low));
  all.add("url", std::make_unique<scripted_sampler>(failure));
  all.add("command", std::make_unique<scripted_sampler>(high));
  for (std::uint64_t round = 1; round <= 2; ++round) {
    const auto sampled = test::run(io, all.sample());
    REQUIRE(sampled);
    CHECK(sampled->at("memory") == decimal::from_int(2));
    CHECK(sampled->at("cpu_usage") == decimal::from_int(1));
    CHECK(all.parts()[1].failures == round);
    CHECK(all.parts()[1].last_error == "too slow");
    CHECK(all.parts()[0].failures == 0);
  }
  REQUIRE(lines.size() == 1);
  for (const auto* part : {"metrics_source_failed", "too slow", "url"}) {
    CAPTURE(lines[0], part);
    CHECK(lines[0].find(part) != std::string::npos);
  }
  composite_sampler only;
  only.add("url", std::make_unique<scripted_sampler>(failure));
  const auto none = test::run(io, only.sample());
  REQUIRE_FALSE(none);
  CHECK(none.error().kind == base::error_kind::unavailable);
  CHECK(none.error().message == "no metrics: url: too slow");
  composite_sampler empty;
  CHECK(test::run(io, empty.sample())->empty());
}

TEST_CASE("metrics json: numbers by name, and what is wrong by name") {
  const auto good =
      parse_metrics_json(R"({"error_rate": 0.1, "error_rate_n": 50, "own": -2.5, "memory": null})", "metrics.url");
  REQUIRE(good);
  CHECK(good->size() == 3);
  CHECK(good->at("own") == decimal::from_millionths(-2'500'000));
  const auto wrong = parse_metrics_json(R"({"error_rate": 2, "own": "x", "cost_cents": true})", "metrics.command");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().kind == base::error_kind::invalid_input);
  std::vector<std::string> fields;
  for (const auto& field : wrong.error().fields) fields.push_back(field.field);
  CHECK(fields.size() == 3);
  CHECK(std::find(fields.begin(), fields.end(), "metrics.command.own") != fields.end());
  for (const auto* text : {"", "[]", "5", "{\"a\":1}{\"b\":2}", "{\"a\":1,\"a\":2}", "{\"a\":NaN}", "{\"a\":{}}"}) {
    CAPTURE(text);
    const auto read = parse_metrics_json(text, "metrics.url");
    CHECK_FALSE(read);
    CHECK(read.error().message.find("metrics.url") == 0);
  }
}

TEST_CASE("exposition: samples with labels, escapes, time stamps, infinities; comments are passed over") {
  const auto samples = parse_exposition(
      "# HELP x y\n# TYPE x counter\nx_total{code=\"5\\\"0\\\\0\",path=\"a,b}\",} 3 1395066363000\n\n"
      "  up 1e2\nlow{} -Inf\nhigh +Inf\nnone NaN\r\n");
  REQUIRE(samples);
  REQUIRE(samples->size() == 5);
  CHECK((*samples)[0].name == "x_total");
  CHECK((*samples)[0].labels == label_set{{"code", "5\"0\\0"}, {"path", "a,b}"}});
  CHECK((*samples)[0].value == 3);
  CHECK((*samples)[1].value == 100);
  CHECK(std::isinf((*samples)[3].value));
  CHECK(std::isnan((*samples)[4].value));
}

TEST_CASE("exposition: a broken line is named") {
  for (const auto* wrong : {"x", "x y", "x{a=\"b\" 1", "x{a=b} 1", "1x 1", "x{a=\"b} 1", "x 1 2 3", "{} 1"}) {
    CAPTURE(wrong);
    const auto samples = parse_exposition(std::string("up 1\n") + wrong + "\n");
    REQUIRE_FALSE(samples);
    CHECK(samples.error().message.find("line 2") != std::string::npos);
  }
}

TEST_CASE("exposition: a mapping sums what it selects") {
  const auto mapping = parse_mapping(
      "error_count = req_total{code=\"500\", kind=\"a,b\"} , latency_p95_ms=lat{quantile=\"0.95\"},own=up");
  if (!mapping) FAIL(mapping.error().message);
  CHECK(mapping->size() == 3);
  const auto samples = parse_exposition(
      "req_total{code=\"500\",kind=\"a,b\",host=\"1\"} 3\nreq_total{code=\"500\",kind=\"a,b\",host=\"2\"} 4\n"
      "req_total{code=\"200\",kind=\"a,b\"} 90\nlat{quantile=\"0.5\"} 10\nlat{quantile=\"0.95\"} NaN\nup 1\nmemory "
      "5\n");
  REQUIRE(samples);
  const auto metrics = select_metrics(*samples, *mapping);
  REQUIRE(metrics);
  CHECK(*metrics == messages::metric_set{{"error_count", decimal::from_int(7)}, {"own", decimal::from_int(1)}});
  const auto escaped = parse_mapping(R"(own=up{a="\"b,", c="}"}, error_rate=x)");
  if (!escaped) FAIL(escaped.error().message);
  CHECK(escaped->size() == 2);
  CHECK(escaped->at("own").labels == label_set{{"a", "\"b,"}, {"c", "}"}});
  for (const auto* wrong : {"x", "x=", "=y", "x=y{", "x=y{a=b}", "x=y z", "x=y,x=z", "x=y{a=\"b"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_mapping(wrong));
  }
  CHECK_FALSE(parse_mapping(fmt::format("{:x<101}=y", "")));
  CHECK(parse_mapping("").value().empty());
}

TEST_CASE("exposition: without a mapping known metrics without labels are taken, in their range") {
  const auto samples = parse_exposition("error_rate 0.25\nerror_rate_n 10\nup 1\nmemory{a=\"b\"} 7\n");
  const auto metrics = select_metrics(*samples, {});
  REQUIRE(metrics);
  CHECK(metrics->size() == 2);
  CHECK(metrics->at("error_rate") == decimal::from_millionths(250'000));
  const auto wrong = select_metrics(*parse_exposition("error_rate 2\n"), {});
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().fields.at(0).field == "error_rate");
}

TEST_CASE("metrics url: address, port and path, or an error") {
  const auto full = metrics_url::parse("http://127.0.0.1:9100/custom?x=1");
  REQUIRE(full);
  CHECK(full->to.host == "127.0.0.1");
  CHECK(full->to.port == "9100");
  CHECK(full->target == "/custom?x=1");
  CHECK(metrics_url::parse("http://localhost")->to.port == "80");
  CHECK(metrics_url::parse("http://localhost")->target == "/metrics");
  CHECK(metrics_url::parse("http://[::1]")->to.port == "80");
  for (const auto* wrong : {"", "https://x/", "localhost:1", "http://", "http:///metrics",
                            "http://some.host:9100/metrics", "http://127.0.0.1:port/", "http://127.0.0.1:0/",
                            "http://127.0.0.1:70000/", "http://127.0.0.1/a b", "http://127.0.0.1/a#b"}) {
    CAPTURE(wrong);
    const auto parsed = metrics_url::parse(wrong);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().kind == base::error_kind::invalid_input);
    CHECK(parsed.error().fields.at(0).field == "metrics.url");
  }
}

}  // namespace
}  // namespace fleet::agent::metrics
