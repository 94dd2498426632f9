#include "common/base/trace.hpp"

#include <catch2/catch.hpp>
#include <set>

using fleet::base::trace_context;

namespace {
constexpr auto example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
}

TEST_CASE("trace: the standard's own example is read and written back") {
  const auto trace = trace_context::parse(example);
  REQUIRE(trace);
  CHECK(trace->trace_id == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(trace->span_id == "00f067aa0ba902b7");
  CHECK(trace->sampled);
  CHECK(trace->str() == example);
}

TEST_CASE("trace: what is no traceparent is nothing") {
  const auto* wrong =
      GENERATE("", "00", "4bf92f3577b34da6a3ce929d0e0e4736", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
               "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
               "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
               "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
               "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
               "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
               "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
               "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
               "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz",
               "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x");
  CAPTURE(wrong);
  CHECK_FALSE(trace_context::parse(wrong));
}

TEST_CASE("trace: a later version is read as far as this one goes") {
  const auto trace = trace_context::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more");
  REQUIRE(trace);
  CHECK_FALSE(trace->sampled);
  CHECK(trace->str() == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
}

TEST_CASE("trace: a child keeps the trace and has a step of its own; each beginning is another trace") {
  std::set<std::string> traces;
  for (int i = 0; i < 100; ++i) {
    const auto begun = trace_context::begin();
    REQUIRE(trace_context::parse(begun.str()));
    traces.insert(begun.trace_id);
    const auto next = begun.child();
    CHECK(next.trace_id == begun.trace_id);
    CHECK(next.span_id != begun.span_id);
    CHECK((trace_context::parse(next.str()) == next));
  }
  CHECK(traces.size() == 100);
}
