// What an exception says.
#pragma once
#include <exception>
#include <string>

namespace fleet::base {

/// Its `what()`; of one that is no `std::exception`, that nobody knows.
std::string text_of(const std::exception_ptr& what);

}  // namespace fleet::base
