#include "common/telemetry/log.hpp"

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <limits>

#include "common/base/text.hpp"

using namespace fleet;
using telemetry::log_format;
using telemetry::log_level;

namespace {

struct captured {
  std::vector<std::string> lines;
  telemetry::logger log;
  explicit captured(telemetry::log_options options)
      : log(telemetry::logger::to_sink([this](std::string_view line) { lines.emplace_back(line); }, options)) {}
};

telemetry::log_options json() {
  return {log_level::debug, log_format::json, true};
}
telemetry::log_options text() {
  return {log_level::debug, log_format::text, false};
}

}  // namespace

TEST_CASE("log: a JSON line holds level, event, message and typed fields") {
  captured out(json());
  out.log.info("proposal_published", "sent",
               {{"proposal_id", base::proposal_id("p-1")},
                {"count", 3},
                {"rate", 0.5},
                {"ok", true},
                {"confidence", *base::decimal::parse("0.85")}});
  REQUIRE(out.lines.size() == 1);
  const auto line = boost::json::parse(out.lines[0]).as_object();
  CHECK(line.at("level").as_string() == "info");
  CHECK(line.at("event").as_string() == "proposal_published");
  CHECK(line.at("message").as_string() == "sent");
  CHECK(line.at("proposal_id").as_string() == "p-1");
  CHECK(line.at("count").as_int64() == 3);
  CHECK(line.at("ok").as_bool());
  CHECK(line.at("confidence").as_string() == "0.85");
  CHECK(line.contains("time"));
}

TEST_CASE("log: for the journal a line begins with its priority, whatever its format") {
  auto options = GENERATE(text(), json());
  options.with_priority = true;
  captured out(options);
  out.log.error("e", "m");
  out.log.warning("e", "m");
  out.log.info("e", "<0>m");
  out.log.debug("e", "m");
  REQUIRE(out.lines.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(out.lines[i].starts_with(std::vector{"<3>", "<4>", "<6>", "<7>"}[i]));
}

TEST_CASE("log: hostile strings leave one valid line") {
  const std::string hostile =
      GENERATE(as<std::string>{}, std::string("a\nlevel=error \"x\""), std::string("\xff\xfe\xc3"),
               std::string("nul\0inside", 10), std::string("\x1b[31mred\r\n"),
               std::string("a\xc2\x9b"
                           "31m\x7f z"),
               std::string("\"},{\"level\":\"error\""), std::string(100'000, 'x'), std::string(100'000, '\x01'));
  captured as_json(json());
  captured as_text(text());
  for (const auto* out : {&as_json, &as_text})
    out->log.warning(hostile, hostile, {{"value", hostile}, {"second", hostile}});
  REQUIRE(as_json.lines.size() == 1);
  REQUIRE(as_text.lines.size() == 1);
  CHECK(boost::json::parse(as_json.lines[0]).as_object().at("level").as_string() == "warning");
  for (const auto* out : {&as_json, &as_text}) {
    CHECK_FALSE(base::has_control_characters(out->lines[0]));
    CHECK(base::is_valid_utf8(out->lines[0]));
    CHECK(out->lines[0].size() < 128U * 1024);
  }
}

TEST_CASE("log: a field cannot replace what the line itself says") {
  captured out(json());
  out.log.info("e", "m", {{"level", "error"}, {"event", "x"}});
  const auto line = boost::json::parse(out.lines.at(0)).as_object();
  CHECK(line.at("level").as_string() == "info");
  CHECK(line.at("event").as_string() == "e");
}

TEST_CASE("log: numbers that JSON has not become texts") {
  captured out(json());
  out.log.info("e", "m", {{"value", std::numeric_limits<double>::quiet_NaN()}});
  CHECK(boost::json::parse(out.lines.at(0)).at("value").as_string() == "nan");
}

TEST_CASE("log: text lines quote what is not one word") {
  captured out(text());
  out.log.info("e", "m", {{"a", "plain"}, {"b", "two words"}, {"c", ""}});
  CHECK(out.lines.at(0) == R"(info    e: m a=plain b="two words" c="")");
}

TEST_CASE("log: a field that is an empty optional is left out, in both formats") {
  const std::optional<std::string> none;
  const std::optional<int> some = 7;
  captured out(text());
  out.log.info("e", "m", {{"a", none}, {"b", some}});
  CHECK(out.lines.at(0) == "info    e: m b=7");
  captured as_json({log_level::info, log_format::json, true});
  as_json.log.info("e", "m", {{"a", none}, {"b", some}});
  const auto line = boost::json::parse(as_json.lines.at(0)).as_object();
  CHECK_FALSE(line.contains("a"));
  CHECK(line.at("b") == 7);
}

TEST_CASE("log: passwords are masked") {
  captured out(text());
  out.log.info("e", "cannot connect to postgresql://u:sesame@h/d", {{"dsn", "host=h password=sesame"}});
  INFO(out.lines.at(0));
  CHECK(out.lines.at(0).find("sesame") == std::string::npos);
}

TEST_CASE("log: the level can change while running, for every copy") {
  captured out({log_level::info, log_format::text, false});
  const auto copy = out.log;
  copy.debug("e", "hidden");
  CHECK(out.lines.empty());
  out.log.set_level(log_level::debug);
  copy.debug("e", "shown");
  CHECK(out.lines.size() == 1);
  out.log.set_level(log_level::error);
  copy.warning("e", "hidden");
  CHECK(out.lines.size() == 1);
  telemetry::logger::none().error("e", "nowhere");
}

TEST_CASE("log: level names") {
  CHECK(telemetry::parse_log_level("warning").value() == log_level::warning);
  CHECK(telemetry::parse_log_level("loud").has_error());
}
