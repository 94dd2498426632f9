// Chromium without a window, driven over the WebDriver protocol: clicks and keys go the way that a person's go.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/http/client.hpp"
#include "tests/support/daemons.hpp"

namespace fleet::test {

/// Keys that have no character.
namespace key {
constexpr std::string_view tab = "\xEE\x80\x84";
constexpr std::string_view enter = "\xEE\x80\x87";
constexpr std::string_view escape = "\xEE\x80\x8C";
}  // namespace key

/// Whatever cannot be done within the bounds of `wait_until` throws std::runtime_error with what the page shows.
class browser {
 public:
  /// Its profile and its log go into `directory`.
  explicit browser(const std::string& directory);
  ~browser();
  browser(const browser&) = delete;
  browser& operator=(const browser&) = delete;

  void go(const std::string& url);
  void back();
  /// The window, in CSS pixels; `phone`: as a phone reports itself (touch, its own viewport).
  void resize(int width, int height, bool phone = false);
  /// What prefers-color-scheme says: "light" or "dark".
  void prefer(const std::string& scheme);
  /// One more window, shown beside the others; what follows happens in it.
  void open_window(const std::string& url);

  /// Runs the body of a function in the page; what it returns, awaited where it is a promise.
  boost::json::value run(const std::string& body);
  /// An expression as a text, a number or a truth: what it says now.
  std::string text_of(const std::string& expression);
  /// Waits until the expression is true.
  void wait(const std::string& expression);
  /// Waits until the page shows the text, as read by a person.
  void wait_for(const std::string& text);
  bool shows(const std::string& text);

  /// Clicks the first visible element of the CSS selector that holds the text, as soon as nothing lies over it.
  void click(const std::string& css, const std::string& text = {});
  /// Puts the text at the end of an input's.
  void type(const std::string& css, const std::string& text);
  /// Presses a key that many times, wherever the focus is.
  void press(std::string_view key, int times = 1);

  struct message {
    std::string source;  ///< "javascript", "network", "security", "console-api" …
    std::string level;   ///< "SEVERE", "WARNING" …
    std::string text;
  };
  /// What went to the browser's log since the last call: exceptions, refused resources, failed requests.
  std::vector<message> log();

  /// The page from its top on, as PNG, also what one would have to scroll to.
  std::string screenshot(int max_height);

 private:
  base::result<http::client_response> call(const std::string& method, const std::string& target,
                                           const boost::json::object& body) const;
  /// A call that must succeed, within the session; its value.
  boost::json::value command(const std::string& target, const boost::json::object& body);
  boost::json::value chrome(const std::string& method, boost::json::object parameters);
  /// Does `what` to an element with the text, again until it works or the time is up.
  void on_element(const std::string& css, const std::string& text, const std::string& what,
                  const boost::json::object& body);

  daemon_process driver_;
  std::string address_;
  std::string session_;
};

}  // namespace fleet::test
