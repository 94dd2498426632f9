// Results in assertions: a failing `REQUIRE(result)` shows the error.
#pragma once
#include <catch2/catch.hpp>
#include <string>

#include "common/base/error.hpp"

namespace Catch {

template <class T>
struct StringMaker<boost::system::result<T, fleet::base::error>> {
  static std::string convert(const boost::system::result<T, fleet::base::error>& value) {
    if (value) return "a value";
    return std::string(fleet::base::to_string(value.error().kind)) + ": " + value.error().message;
  }
};

}  // namespace Catch
