// The dashboard as a browser shows it: headless Chromium on real daemons.
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <regex>
#include <set>

#include "tests/support/daemons.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

http::client_response get(const std::string& address, const std::string& target) {
  http::client_request request;
  request.to = http::endpoint::parse(address).value();
  request.target = target;
  auto response = http::call_blocking(std::move(request));
  REQUIRE(response.has_value());
  return *response;
}

/// Chromium, driven over the WebDriver protocol.
class browser {
 public:
  explicit browser(const daemon_fleet& fleet)
      : driver_("/usr/bin/chromedriver", {"--port=0"}, fleet.directory + "/chromedriver.log") {
    driver_.start();
    // "ChromeDriver was started successfully on port 12345."
    const std::regex told("successfully on port ([0-9]+)");
    std::smatch port;
    std::string log;
    REQUIRE(wait_until([&] { return std::regex_search(log = driver_.log(), port, told); }));
    address_ = "127.0.0.1:" + port[1].str();
    boost::json::array arguments = {"--headless",
                                    "--no-sandbox",
                                    "--disable-gpu",
                                    "--disable-quic",
                                    "--no-first-run",
                                    "--disable-background-networking",
                                    "--disable-component-update",
                                    "--disable-sync",
                                    "--user-data-dir=" + fleet.directory + "/browser"};
    boost::json::object chrome;
    chrome["args"] = std::move(arguments);
    boost::json::object wanted;
    wanted["alwaysMatch"] = boost::json::object({{"goog:chromeOptions", std::move(chrome)}});
    const auto made = call("POST", "/session", boost::json::object({{"capabilities", std::move(wanted)}}));
    REQUIRE(made.has_value());
    INFO(made->body);
    REQUIRE(made->status == 200);
    session_ = "/session/" + std::string(value_of(*made).at("sessionId").as_string());
  }
  ~browser() { call("DELETE", session_, {}); }
  browser(const browser&) = delete;
  browser& operator=(const browser&) = delete;

  void go(const std::string& url) { call("POST", session_ + "/url", boost::json::object({{"url", url}})); }
  std::string document() {
    const auto answer = call("GET", session_ + "/source", {});
    if (!answer) return answer.error().message;
    return std::string(boost::json::parse(answer->body).as_object().at("value").as_string());
  }
  /// Waits until the page shows it, and gives the document.
  std::string showing(const std::string& text) {
    std::string last;
    const bool shown = wait_until([&] { return (last = document()).find(text) != std::string::npos; });
    INFO(last);
    CHECK(shown);
    return last;
  }

 private:
  base::result<http::client_response> call(const std::string& method, const std::string& target,
                                           const boost::json::object& body) const {
    http::client_request request;
    request.to = http::endpoint::parse(address_).value();
    request.method = method;
    request.target = target;
    if (method == "POST") request.body = boost::json::serialize(body);
    request.timeout = std::chrono::seconds(30);
    return http::call_blocking(std::move(request));
  }
  static boost::json::object value_of(const http::client_response& answer) {
    return boost::json::parse(answer.body).as_object().at("value").as_object();
  }

  daemon_process driver_;
  std::string address_;
  std::string session_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("dashboard: every file that the page names is served, guarded, and not sent twice") {
  fleet_options options;
  options.name = "dashboard_files";
  options.agents = 0;
  const daemon_fleet fleet(options);
  const auto& address = fleet.coordinator_addresses.front();
  const auto page = get(address, "/");
  CHECK(page.status == 200);
  CHECK(has(page.headers.at("content-type"), "text/html"));
  CHECK(has(page.headers.at("content-security-policy"), "default-src 'none'"));
  CHECK_FALSE(has(page.headers.at("content-security-policy"), "unsafe"));
  CHECK_FALSE(std::regex_search(page.body, std::regex("<script>|<script [^>]*>[^<]|style=\"|https?://(?!www.w3.org)")));

  // Whatever is imported by what is imported.
  std::set<std::string> found;
  std::vector<std::string> texts = {page.body};
  while (!texts.empty()) {
    const auto text = std::move(texts.back());
    texts.pop_back();
    const std::regex names("(?:/assets/|from \"\\./)([a-z_]+\\.[a-z]+)");
    for (std::sregex_iterator each(text.begin(), text.end(), names), end; each != end; ++each) {
      const std::string name = (*each)[1];
      if (!found.insert(name).second) continue;
      const auto file = get(address, "/assets/" + name);
      CAPTURE(name);
      CHECK(file.status == 200);
      REQUIRE(file.headers.contains("etag"));
      CHECK(shell("curl -s -o /dev/null -w '%{http_code}' -H 'If-None-Match: " + file.headers.at("etag") +
                  "' 'http://" + address + "/assets/" + name + "'") == "304");
      texts.push_back(file.body);
    }
  }
  CHECK(found.size() >= 15);
  CHECK(get(address, "/assets/../application.cpp").status == 404);
}

TEST_CASE("dashboard: a browser shows what the fleet does, and takes no proposal's text for markup") {
  fleet_options options;
  options.name = "dashboard_browser";
  daemon_fleet fleet(options);
  auto proposal = proposal_of({{"service.conf", "<img src=x onerror=alert(1)>\n"}});
  proposal["metadata"].emplace_object()["description"] = "Shorten <b>everything</b> <img src=x onerror=alert(1)>";
  const auto answer = fleet.agent(0).call("POST", "/v1/proposals", proposal);
  INFO(boost::json::serialize(answer.body));
  REQUIRE(answer.status == 201);
  const std::string id(answer.body.at("proposal_id").as_string());
  REQUIRE(wait_until([&] { return fleet.agent(0).status_of(id) == "applied"; }));
  fleet.psql("select quantumflow.publish('votes_for_consensus_queue', '{\"proposal_id\": \"nonsense\"}')");
  REQUIRE(wait_until([&] { return fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "1"; }));

  browser page(fleet);
  const std::string root = "http://" + fleet.coordinator_addresses.front() + "/#/";
  page.go(root);
  page.showing("3 of 3 instances live");
  page.showing("1 dead letter");
  const auto overview = page.showing("Shorten &lt;b&gt;everything&lt;/b&gt; &lt;img src=x onerror=alert(1)&gt;");
  CHECK(has(overview, "Message flow"));
  CHECK_FALSE(has(overview, "<img"));

  page.go(root + "proposals/" + id);
  const auto one = page.showing("critical, rolls back");
  CHECK(has(one, "&lt;img src=x onerror=alert(1)&gt;"));
  CHECK_FALSE(has(one, "<img"));

  page.go(root + "dead-letters");
  page.showing("nonsense");
  for (const auto* view : {"queues", "alerts", "patterns", "profiles"}) {
    page.go(root + view);
    CHECK_FALSE(has(page.showing("<h1"), "Could not load"));
  }
  page.go(root + "proposals?status=not_begun");
  CHECK_FALSE(has(page.showing("not begun"), id));
  page.go(root + "instances");
  for (const auto& agent : fleet.agents) page.showing(agent->instance);

  // A page that was left open says when it is cut off, and goes on by itself.
  page.go(root);
  page.showing("data-state=\"live\"");
  fleet.coordinators[0]->kill9();
  page.showing("data-state=\"lost\"");
  fleet.coordinators[0]->start();
  page.showing("data-state=\"live\"");
}
