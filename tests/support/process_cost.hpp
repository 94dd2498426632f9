// What processes use of the machine, as /proc has it.
#pragma once
#include <sys/types.h>

#include <string>

namespace fleet::test {

/// Processor seconds of a process and all its children, those that have ended and were waited for included.
double cpu_seconds(pid_t of);
/// Resident memory.
double resident_mib(pid_t of);

}  // namespace fleet::test
