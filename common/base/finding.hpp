// What a check found, as a line for a person: `doctor` prints them.
#pragma once
#include <string>
#include <string_view>
#include <utility>

namespace fleet::base {

enum class grade {
  ok,
  warn,  ///< works, and somebody should look at it
  fail   ///< will not work
};
inline std::string_view to_string(grade of) {
  return of == grade::ok ? "ok" : of == grade::warn ? "warn" : "fail";
}

struct finding {
  std::string check;  ///< a word or two, the same in every run: scripts look for it
  grade found = grade::ok;
  std::string text;         ///< what is so
  std::string advice = {};  ///< what to do about it; empty where nothing is to be done
};

inline finding passed(std::string check, std::string text) {
  return {std::move(check), grade::ok, std::move(text), {}};
}
inline finding warned(std::string check, std::string text, std::string advice) {
  return {std::move(check), grade::warn, std::move(text), std::move(advice)};
}
inline finding failed(std::string check, std::string text, std::string advice) {
  return {std::move(check), grade::fail, std::move(text), std::move(advice)};
}

}  // namespace fleet::base
