#include "tests/support/browser.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <regex>
#include <stdexcept>

namespace fleet::test {
namespace {

namespace json = boost::json;

/// The name under which WebDriver passes elements.
constexpr std::string_view element_key = "element-6066-11e4-a52e-4f735466cecf";

json::object capabilities(const std::string& directory) {
  json::array arguments = {"--headless",
                           "--no-sandbox",
                           "--disable-gpu",
                           "--disable-dev-shm-usage",
                           "--disable-quic",
                           "--no-first-run",
                           "--disable-background-networking",
                           "--disable-component-update",
                           "--disable-sync",
                           "--window-size=1400,1000",
                           "--user-data-dir=" + directory + "/browser"};
  json::object chrome;
  chrome["args"] = std::move(arguments);
  json::object logged;
  logged["browser"] = "ALL";
  json::object always;
  always["goog:chromeOptions"] = std::move(chrome);
  always["goog:loggingPrefs"] = std::move(logged);
  json::object wanted;
  wanted["alwaysMatch"] = std::move(always);
  json::object all;
  all["capabilities"] = std::move(wanted);
  return all;
}

json::value value_of(const std::string& body) {
  return json::parse(body).as_object().at("value");
}

std::string quoted(const std::string& text) {
  return json::serialize(json::value(text));
}

/// Standard base64, as WebDriver gives pictures.
std::string decoded(std::string_view text) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int held = 0;
  for (const char c : text) {
    const auto digit = digits.find(c);
    if (digit == std::string_view::npos) continue;
    bits = (bits << 6U) | static_cast<unsigned>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out.push_back(static_cast<char>((bits >> static_cast<unsigned>(held)) & 0xFFU));
  }
  return out;
}

}  // namespace

browser::browser(const std::string& directory)
    : driver_("/usr/bin/chromedriver", {"--port=0"}, directory + "/chromedriver.log") {
  driver_.start();
  // "ChromeDriver was started successfully on port 12345."
  const std::regex told("successfully on port ([0-9]+)");
  std::smatch port;
  std::string log;
  if (!wait_until([&] { return std::regex_search(log = driver_.log(), port, told); }))
    throw std::runtime_error("chromedriver did not start: " + log);
  address_ = "127.0.0.1:" + port[1].str();
  const auto made = call("POST", "/session", capabilities(directory));
  if (!made || made->status != 200)
    throw std::runtime_error("Chromium did not start: " + (made ? made->body : made.error().message));
  session_ = "/session/" + std::string(value_of(made->body).at("sessionId").as_string());
}

browser::~browser() {
  if (!session_.empty()) call("DELETE", session_, {});
}

base::result<http::client_response> browser::call(const std::string& method, const std::string& target,
                                                  const json::object& body) const {
  http::client_request request;
  request.to = http::endpoint::parse(address_).value();
  request.method = method;
  request.target = target;
  if (method == "POST") request.body = json::serialize(body);
  request.timeout = std::chrono::seconds(60);
  return http::call_blocking(std::move(request));
}

json::value browser::command(const std::string& target, const json::object& body) {
  const auto answer = call("POST", session_ + target, body);
  if (!answer) throw std::runtime_error(target + ": " + answer.error().message);
  if (answer->status != 200) throw std::runtime_error(target + ": " + answer->body);
  return value_of(answer->body);
}

json::value browser::chrome(const std::string& method, json::object parameters) {
  json::object body;
  body["cmd"] = method;
  body["params"] = std::move(parameters);
  return command("/goog/cdp/execute", body);
}

void browser::go(const std::string& url) {
  command("/url", json::object({{"url", url}}));
}

void browser::back() {
  command("/back", {});
}

void browser::resize(int width, int height, bool phone) {
  json::object metrics;
  metrics["width"] = width;
  metrics["height"] = height;
  metrics["deviceScaleFactor"] = 1;
  metrics["mobile"] = phone;
  chrome("Emulation.setDeviceMetricsOverride", std::move(metrics));
}

void browser::prefer(const std::string& scheme) {
  json::object feature;
  feature["name"] = "prefers-color-scheme";
  feature["value"] = scheme;
  json::array features;
  features.push_back(std::move(feature));
  json::object media;
  media["features"] = std::move(features);
  chrome("Emulation.setEmulatedMedia", std::move(media));
}

void browser::open_window(const std::string& url) {
  const auto made = command("/window/new", json::object({{"type", "window"}}));
  command("/window", json::object({{"handle", made.at("handle")}}));
  go(url);
}

json::value browser::run(const std::string& body) {
  json::object script;
  script["script"] = body;
  script["args"] = json::array();
  return command("/execute/sync", script);
}

std::string browser::text_of(const std::string& expression) {
  const auto value = run("return String(" + expression + ")");
  return std::string(value.as_string());
}

void browser::wait(const std::string& expression) {
  const auto holds = [&] { return run("return Boolean(" + expression + ")").as_bool(); };
  if (!wait_until(holds))
    throw std::runtime_error("never came: " + expression + "\n" + text_of("document.body.innerText"));
}

void browser::wait_for(const std::string& text) {
  wait("document.body.innerText.includes(" + quoted(text) + ")");
}

bool browser::shows(const std::string& text) {
  return run("return document.body.innerText.includes(" + quoted(text) + ")").as_bool();
}

void browser::on_element(const std::string& css, const std::string& text, const std::string& what,
                         const json::object& body) {
  const auto find = "return [...document.querySelectorAll(" + quoted(css) +
                    ")].find((each) => each.checkVisibility() && each.textContent.includes(" + quoted(text) + "))";
  std::string problem = "it is not there";
  const auto done = [&] {
    const auto found = run(find);
    if (!found.is_object()) return false;
    const std::string id(found.at(element_key).as_string());
    // The element may be replaced in between, or be covered for a moment: then it is looked for again.
    const auto answer = call("POST", session_ + "/element/" + id + what, body);
    if (answer && answer->status == 200) return true;
    problem = answer ? answer->body : answer.error().message;
    return false;
  };
  if (!wait_until(done))
    throw std::runtime_error(what + " on " + css + " \"" + text + "\": " + problem + "\n" +
                             text_of("document.body.innerText"));
}

void browser::click(const std::string& css, const std::string& text) {
  on_element(css, text, "/click", {});
}

void browser::type(const std::string& css, const std::string& text) {
  on_element(css, {}, "/value", json::object({{"text", text}}));
}

void browser::press(std::string_view key, int times) {
  json::array steps;
  for (int i = 0; i < times; ++i) {
    for (const auto* step : {"keyDown", "keyUp"}) {
      json::object one;
      one["type"] = step;
      one["value"] = std::string(key);
      steps.push_back(std::move(one));
    }
  }
  json::object keyboard;
  keyboard["type"] = "key";
  keyboard["id"] = "keyboard";
  keyboard["actions"] = std::move(steps);
  json::array devices;
  devices.push_back(std::move(keyboard));
  json::object body;
  body["actions"] = std::move(devices);
  command("/actions", body);
}

std::vector<browser::message> browser::log() {
  std::vector<message> all;
  const auto entries = command("/se/log", json::object({{"type", "browser"}}));
  for (const auto& entry : entries.as_array()) {
    const auto& one = entry.as_object();
    const auto field = [&](std::string_view name) {
      const auto* value = one.if_contains(name);
      return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
    };
    all.push_back({field("source"), field("level"), field("message")});
  }
  return all;
}

std::string browser::screenshot(int max_height) {
  const auto size =
      run("return [innerWidth, Math.min(document.documentElement.scrollHeight, " + std::to_string(max_height) + ")]")
          .as_array();
  json::object clip;
  clip["x"] = 0;
  clip["y"] = 0;
  clip["width"] = size.at(0);
  clip["height"] = size.at(1);
  clip["scale"] = 1;
  json::object wanted;
  wanted["format"] = "png";
  wanted["captureBeyondViewport"] = true;
  wanted["clip"] = std::move(clip);
  return decoded(chrome("Page.captureScreenshot", std::move(wanted)).at("data").as_string());
}

}  // namespace fleet::test
