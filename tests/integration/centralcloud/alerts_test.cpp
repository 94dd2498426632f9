#include <boost/algorithm/string/case_conv.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "centralcloud_daemon/alerts/monitor.hpp"
#include "centralcloud_daemon/alerts/notifier.hpp"
#include "centralcloud_daemon/alerts/webhook.hpp"
#include "common/http/server.hpp"
#include "tests/integration/centralcloud/central_fixture.hpp"
#include "tests/support/daemons.hpp"

using namespace fleet;
using namespace fleet::test;
using namespace fleet::central;
namespace json = boost::json;

namespace {

/// Takes notices over HTTP; answers `status`.
struct receiver {
  explicit receiver(boost::asio::io_context& io) {
    http::server_options options;
    options.listen = "127.0.0.1:0";
    http::router routes;
    routes.add("POST", "/hook", [this](http::request from) -> boost::asio::awaitable<http::response> {
      bodies.push_back(from.body);
      types.push_back(from.header("content-type"));
      co_return http::text_response(status, "");
    });
    server = std::make_unique<http::server>(io.get_executor(), std::move(options), std::move(routes),
                                            telemetry::logger::none(), metrics);
    REQUIRE(server->start().has_value());
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server->port()) + "/hook"; }
  json::object body(std::size_t index) const { return json::parse(bodies.at(index)).as_object(); }

  telemetry::metrics metrics;
  unsigned status = 200;
  std::vector<std::string> bodies;
  std::vector<std::string> types;
  std::unique_ptr<http::server> server;
};

struct alert_fixture : central_fixture {
  explicit alert_fixture(const std::string& database) : central_fixture(database) {
    watched.clear_after = std::chrono::milliseconds(0);
    watched.raise_after = std::chrono::milliseconds(0);
    watched.instance_forgotten = std::chrono::hours(168);
    watched.limits.dead_letters = 0;
    watched.limits.queue_latency_seconds = 3600;  // a busy machine is not what is looked for here
  }
  void look() {
    auto lease = run(io, pool.acquire());
    run(io, monitor.pass(*lease));
  }
  void dead_letter() {
    psql(
        "insert into quantumflow.dead_letter (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, "
        "reason, errors)"
        " select cursor_id, pg_current_xact_id(), nextval('quantumflow.message_id'), 'p', now(), '{}', 1, 'rejected', "
        "'[]'"
        " from quantumflow.reader where queue_name = 'votes_for_consensus_queue' limit 1");
  }
  bool deliver(alerts::notifier& by) { return run(io, by.deliver_next(stop.token())); }
  /// Attempts that failed are due again at once.
  void hurry() { psql("update centralcloud.alert_delivery set next_attempt_at = now() where settled_at is null"); }
  std::string alerts_now() {
    return now_gives(
        "select coalesce(string_agg(a ->> 'name' || ' ' || coalesce(a ->> 'subject', '-') || ' ' || (a ->> 'state'), "
        "', '), '')"
        " from centralcloud.list_alerts(true) a");
  }

  alerts::monitor_settings watched;
  alerts::channel_settings channels;
  alerts::monitor monitor{pool, watched, log, metrics, {}};
  alerts::notifier webhooks{pool, alerts::webhook_channel(channels), log, metrics};
  alerts::notifier commands{pool, alerts::command_channel(channels), log, metrics};
};

double counted(telemetry::metrics& in, const char* outcome) {
  return in.counter_of("centralcloud_alert_notifications_total", {{"channel", "webhook"}, {"outcome", outcome}})
      .value();
}

/// The text below the heading that a link `#anchor` leads to.
std::string section_of(const std::string& page, const std::string& anchor) {
  std::ifstream in(page);
  std::string text;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("## ")) inside = boost::algorithm::to_lower_copy(line.substr(3)) == anchor;
    if (inside) text += line + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("alerts: dead letters are an alert while they are there, posted to a webhook until it takes the notice") {
  alert_fixture with("alerts_webhook");
  with.dead_letter();
  with.look();
  with.look();
  CHECK(with.alerts_now() == "dead_letters votes_for_consensus_queue active");
  receiver hook(with.io);
  with.channels.webhook_url = hook.url();
  hook.status = 503;
  REQUIRE(with.deliver(with.webhooks));
  // Not before its pause is over.
  CHECK_FALSE(with.deliver(with.webhooks));
  with.hurry();
  hook.status = 204;
  REQUIRE(with.deliver(with.webhooks));
  with.hurry();
  CHECK_FALSE(with.deliver(with.webhooks));
  REQUIRE(hook.bodies.size() == 2);
  CHECK(hook.types[0] == "application/json");
  CHECK(hook.body(0).at("notice_id") == hook.body(1).at("notice_id"));
  CHECK(hook.body(0).at("name") == "dead_letters");
  CHECK(hook.body(0).at("value") == 1);
  CHECK(hook.body(0).at("subject") == "votes_for_consensus_queue");
  CHECK(counted(with.metrics, "retried") == 1);
  CHECK(counted(with.metrics, "delivered") == 1);
  with.psql("select quantumflow.purge_dlq()");
  with.look();
  CHECK(with.alerts_now() == "dead_letters votes_for_consensus_queue cleared");
  REQUIRE(with.deliver(with.webhooks));
  CHECK(hook.body(2).at("kind") == "cleared");
}

TEST_CASE(
    "alerts: of several coordinators that look and tell at the same time each alert is raised, told and cleared once") {
  alert_fixture with("alerts_several");
  receiver hook(with.io);
  with.channels.webhook_url = hook.url();
  std::vector<std::unique_ptr<alerts::monitor>> monitors;
  std::vector<std::unique_ptr<alerts::notifier>> notifiers;
  for (int n = 0; n < 3; ++n) {
    monitors.push_back(
        std::make_unique<alerts::monitor>(with.pool, with.watched, with.log, with.metrics, std::function<void()>()));
    notifiers.push_back(
        std::make_unique<alerts::notifier>(with.pool, alerts::webhook_channel(with.channels), with.log, with.metrics));
  }
  const auto look = [&](std::size_t n) -> boost::asio::awaitable<void> {
    auto lease = co_await with.pool.acquire();
    co_await monitors[n]->pass(*lease);
  };
  const auto tell = [&](std::size_t n) -> boost::asio::awaitable<void> {
    for (bool more = true; more;) more = co_await notifiers[n]->deliver_next(with.stop.token());
  };
  const auto all_at_once = [&](auto what) {
    std::size_t running = monitors.size();
    for (std::size_t n = 0; n < monitors.size(); ++n) {
      boost::asio::co_spawn(with.io, what(n), [&](std::exception_ptr thrown) {
        --running;
        if (thrown) std::rethrow_exception(thrown);
      });
    }
    REQUIRE(run_until(with.io, [&] { return running == 0; }));
  };
  constexpr int rounds = 10;
  for (int round = 1; round <= rounds; ++round) {
    with.dead_letter();
    all_at_once(look);
    all_at_once(tell);
    with.psql("select quantumflow.purge_dlq()");
    all_at_once(look);
    all_at_once(tell);
    REQUIRE(hook.bodies.size() == static_cast<std::size_t>(2 * round));
    CHECK(hook.body(hook.bodies.size() - 2).at("kind") == "raised");
    CHECK(hook.body(hook.bodies.size() - 1).at("kind") == "cleared");
  }
  CHECK(with.now_gives("select count(*) from centralcloud.alert") == std::to_string(rounds));
}

TEST_CASE("alerts: a rollback of which nothing is heard is an alert, until the instance says how it went") {
  alert_fixture with("alerts_rollback_pending");
  with.start_consumers();
  with.propose("p1", R"({"needs_consensus":false,"max_risk_score":9})");
  REQUIRE(with.idle());
  with.report("p1", "applied", R"({"error_rate":0.5})", 1);
  REQUIRE(with.idle());
  with.look();
  CHECK(with.alerts_now() == "");
  with.psql("update centralcloud.rollback set triggered_at = triggered_at - interval '121 seconds'");
  with.look();
  CHECK(with.alerts_now() == "rollback_pending p1 active");
  CHECK_THAT(with.now_gives("select text from centralcloud.alert"), Catch::StartsWith("a was told 12"));
  with.report("p1", "rolled_back", "{}", 2);
  REQUIRE(with.idle());
  with.look();
  CHECK(with.alerts_now() == "rollback_pending p1 cleared");
}

TEST_CASE("alerts: the runbook has a section for each, with what it means, how to look and what to do") {
  alert_fixture with("alerts_runbook");
  std::vector<std::string> names{"error_rate_breach"};
  for (const auto name : alerts::alert_names()) names.emplace_back(name);
  for (const auto& name : names) {
    const auto place = with.now_gives("select centralcloud.runbook_of('" + name + "')");
    const auto hash = place.find('#');
    REQUIRE(hash != std::string::npos);
    const auto section =
        section_of(std::string(FLEET_SOURCE_DIR) + "/" + place.substr(0, hash), place.substr(hash + 1));
    CAPTURE(name, place);
    CHECK_THAT(section, Catch::Contains("**Means.**") && Catch::Contains("**Look.**") && Catch::Contains("**Do.**"));
  }
}

TEST_CASE("alerts: a webhook that never answers as it should is given up, and said to be") {
  alert_fixture with("alerts_given_up");
  with.dead_letter();
  with.look();
  receiver hook(with.io);
  with.channels.webhook_url = hook.url();
  hook.status = 500;
  int attempts = 0;
  while (with.deliver(with.webhooks)) {
    with.hurry();
    REQUIRE(++attempts <= 10);
  }
  CHECK(attempts == 10);
  CHECK(counted(with.metrics, "given_up") == 1);
  CHECK(with.now_gives("select delivered, error like '%status 500' from centralcloud.alert_delivery") == "f|t");
  // Nobody listens at all.
  hook.server->stop();
  with.psql("update centralcloud.alert set told_at = told_at - interval '2 hours'");
  with.look();
  REQUIRE(with.deliver(with.webhooks));
  CHECK(with.now_gives(
            "select error like '%connecting: %' from centralcloud.alert_delivery where settled_at is null") == "t");
}

TEST_CASE("alerts: what still stands is told again after its interval, and only then") {
  alert_fixture with("alerts_repeated");
  with.dead_letter();
  with.look();
  receiver hook(with.io);
  with.channels.webhook_url = hook.url();
  REQUIRE(with.deliver(with.webhooks));
  with.look();
  CHECK_FALSE(with.deliver(with.webhooks));
  with.psql("update centralcloud.alert set told_at = told_at - interval '2 hours'");
  with.look();
  REQUIRE(with.deliver(with.webhooks));
  CHECK_FALSE(with.deliver(with.webhooks));
  CHECK(hook.body(1).at("kind") == "repeated");
}

TEST_CASE("alerts: a command that hangs is ended at its time, one that fails is tried again with the same notice") {
  alert_fixture with("alerts_command");
  with.dead_letter();
  with.look();
  const auto file = std::filesystem::temp_directory_path() / ("alerts_command_" + std::to_string(::getpid()));
  with.channels.command = "cat >> '" + file.string() + "'; sleep 100";
  with.channels.timeout = std::chrono::milliseconds(300);
  REQUIRE(with.deliver(with.commands));
  CHECK(with.now_gives("select error like 'alerts.command: %time%' from centralcloud.alert_delivery") == "t");
  with.hurry();
  with.channels.command = "cat >> '" + file.string() + "'; echo no luck >&2; exit 3";
  with.channels.timeout = std::chrono::seconds(10);
  REQUIRE(with.deliver(with.commands));
  CHECK(with.now_gives("select error from centralcloud.alert_delivery").find("no luck") != std::string::npos);
  with.hurry();
  with.channels.command = "cat >> '" + file.string() + "'";
  REQUIRE(with.deliver(with.commands));
  with.hurry();
  CHECK_FALSE(with.deliver(with.commands));
  std::ifstream in(file);
  std::vector<json::object> notices;
  for (std::string line; std::getline(in, line);) notices.push_back(json::parse(line).as_object());
  REQUIRE(notices.size() == 3);
  CHECK(notices[0].at("notice_id") == notices[2].at("notice_id"));
  CHECK(notices[2].at("attempt") == 3);
  std::filesystem::remove(file);
}

TEST_CASE("alerts: a command that says what is no text is tried again as often as any other, and given up") {
  alert_fixture with("alerts_bytes");
  with.dead_letter();
  with.look();
  with.channels.command = "printf 'a\\377b\\000c' >&2; exit 3";
  int attempts = 0;
  for (; attempts < 20 && with.deliver(with.commands); ++attempts) with.hurry();
  CHECK(attempts == 10);
  CHECK(with.now_gives("select error like 'alerts.command: exit code 3%a?b c' from centralcloud.alert_delivery") ==
        "t");
}

TEST_CASE("alerts: a worker looks again and again, and a breach of the Guardian's is told and ends with its change") {
  alert_fixture with("alerts_guardian");
  with.start_consumers();
  with.propose("p1", R"({"needs_consensus":false,"auto_rollback":false})", "2");
  REQUIRE(with.idle());
  with.report("p1", "applied", R"({"error_rate":0.5})", 1);
  REQUIRE(with.idle());
  CHECK(with.alerts_now() == "error_rate_breach p1 active");
  with.look();
  CHECK(with.alerts_now() == "error_rate_breach p1 active");
  with.report("p1", "rollback_failed", R"({"error_rate":0.5})", 2);
  REQUIRE(with.idle());
  with.look();
  CHECK(with.alerts_now() == "rollback_failed p1 active, error_rate_breach p1 cleared");
  with.report("p1", "rolled_back", R"({"error_rate":0.01})", 3);
  REQUIRE(with.idle());
  with.watched.interval = std::chrono::milliseconds(5);
  ++with.running;
  boost::asio::co_spawn(with.io, with.monitor.run(with.stop.token()), [&](std::exception_ptr) { --with.running; });
  CHECK(with.eventually("select coalesce(string_agg(name, ' '), '') from centralcloud.alert where cleared_at is null",
                        "") == "");
  with.stop_all();
}

TEST_CASE("webhook: over TLS with a certificate that is trusted, and not with one that is not") {
  namespace asio = boost::asio;
  const auto directory = std::filesystem::temp_directory_path() / ("webhook_tls_" + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  shell(
      "cd '" + directory.string() +
      "' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
      " -keyout key.pem -out cert.pem 2>/dev/null");
  asio::io_context io;
  asio::ssl::context own(asio::ssl::context::tls_server);
  own.use_certificate_chain_file((directory / "cert.pem").string());
  own.use_private_key_file((directory / "key.pem").string(), asio::ssl::context::pem);
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  std::string got;
  const auto serve = [&]() -> asio::awaitable<void> {
    auto peer = co_await acceptor.async_accept(asio::use_awaitable);
    asio::ssl::stream<asio::ip::tcp::socket> stream(std::move(peer), own);
    co_await stream.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
    boost::beast::flat_buffer buffer;
    boost::beast::http::request<boost::beast::http::string_body> request;
    co_await boost::beast::http::async_read(stream, buffer, request, asio::use_awaitable);
    got = request.body();
    boost::beast::http::response<boost::beast::http::empty_body> answer(boost::beast::http::status::ok, 11);
    co_await boost::beast::http::async_write(stream, answer, asio::use_awaitable);
  };
  const auto port = std::to_string(acceptor.local_endpoint().port());
  const auto post = [&](const std::string& host) {
    asio::co_spawn(io, serve(), [](std::exception_ptr) {});
    return run(io, alerts::post_webhook("https://" + host + ":" + port + "/x", "{}", std::chrono::seconds(5)));
  };
  const auto untrusted = post("localhost");
  REQUIRE_FALSE(untrusted.has_value());
  CHECK(untrusted.error().message.find("TLS handshake") != std::string::npos);
  CHECK(got.empty());
  ::setenv("SSL_CERT_FILE", (directory / "cert.pem").c_str(), 1);
  const auto other_name = post("127.0.0.1");
  REQUIRE_FALSE(other_name.has_value());
  CHECK(got.empty());
  const auto trusted = post("localhost");
  ::unsetenv("SSL_CERT_FILE");
  if (!trusted) FAIL(trusted.error().message);
  CHECK(got == "{}");
  std::filesystem::remove_all(directory);
}
