// Whose trouble a failure is: the database's, or that of what was being worked on.
#pragma once
#include <exception>

namespace fleet::postgres {

/// Whether it is the database's (or a cancellation): the same work may succeed once that is over. Not so: a message, a
/// row or the code is at fault, and doing it again gives the same.
bool is_operating_failure(const std::exception_ptr& what);

}  // namespace fleet::postgres
