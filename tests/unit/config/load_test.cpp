#include "common/config/load.hpp"

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <stdexcept>

using namespace fleet;
using namespace std::chrono_literals;

namespace {

config::setting make(std::string key, config::value_type type, std::string fallback) {
  config::setting what;
  what.key = std::move(key);
  what.type = type;
  what.fallback = std::move(fallback);
  what.sentence = "What it does.";
  return what;
}

std::shared_ptr<const config::schema> small_schema() {
  auto schema = std::make_shared<config::schema>();
  auto level = make("log.level", config::value_type::string, "info");
  level.choices = {"debug", "info"};
  level.environment = "TEST_LEVEL";
  level.reloadable = true;
  schema->add(level);
  auto size = make("pool.size", config::value_type::integer, "4");
  size.min = base::decimal::from_int(1);
  size.max = base::decimal::from_int(8);
  schema->add(size);
  auto retries = make("queue.<name>.max_retries", config::value_type::integer, "3");
  retries.general_environment = "TEST_RETRIES";
  schema->add_family(retries, {"votes", "metrics"});
  schema->add(make("stop.grace_ms", config::value_type::duration_ms, "10000"));
  auto ratio = make("consensus.approval_ratio", config::value_type::ratio, "2/3");
  ratio.max = base::decimal::from_int(1);
  schema->add(ratio);
  schema->add(make("consensus.min_confidence", config::value_type::decimal, "0.85"));
  schema->add(make("consensus.proposer_may_vote", config::value_type::boolean, "true"));
  schema->add(make("executor.step.*", config::value_type::string, ""));
  schema->add(make("http.token", config::value_type::secret, ""));
  schema->add(make("http.peers", config::value_type::list, ""));
  return schema;
}

class temporary_file {
 public:
  explicit temporary_file(const std::string& text)
      : path_((std::filesystem::temp_directory_path() / ("config_test_" + std::to_string(::getpid()) + ".ini"))
                  .string()) {
    std::ofstream(path_) << text;
  }
  ~temporary_file() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class temporary_directory {
 public:
  temporary_directory()
      : path_((std::filesystem::temp_directory_path() / ("config_test_" + std::to_string(::getpid()))).string()) {
    std::filesystem::create_directory(path_);
  }
  ~temporary_directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct inputs {
  std::string file = {};
  std::vector<std::string> arguments = {};
  std::map<std::string, std::string> environment = {};
};

base::result<config::values> load_from(const std::shared_ptr<const config::schema>& schema, const inputs& given,
                                       const std::string& path = {}) {
  config::sources from;
  from.file = path;
  from.arguments = given.arguments;
  from.environment = [given](const std::string& name) -> std::optional<std::string> {
    const auto found = given.environment.find(name);
    return found == given.environment.end() ? std::nullopt : std::optional(found->second);
  };
  if (given.file.empty()) return config::load(schema, from);
  const temporary_file file(given.file);
  from.file = file.path();
  return config::load(schema, from);
}

std::string error_text(const base::result<config::values>& loaded) {
  REQUIRE(loaded.has_error());
  return loaded.error().message;
}

}  // namespace

TEST_CASE("config load: the stronger source wins and the value remembers it") {
  const auto schema = small_schema();
  const std::string file = "[log]\nlevel = debug\n";
  const auto plain = load_from(schema, {});
  REQUIRE(plain.has_value());
  CHECK(plain->get_string("log.level") == "info");
  CHECK(plain->get("log.level").from.where == "default");

  const auto from_file = load_from(schema, {.file = file});
  REQUIRE(from_file.has_value());
  CHECK(from_file->get_string("log.level") == "debug");
  CHECK(from_file->get("log.level").from.where.ends_with(".ini:2"));

  const auto from_environment = load_from(schema, {.file = file, .environment = {{"TEST_LEVEL", "info"}}});
  REQUIRE(from_environment.has_value());
  CHECK(from_environment->get_string("log.level") == "info");
  CHECK(from_environment->get("log.level").from.where == "TEST_LEVEL");

  const auto from_flag =
      load_from(schema, {.file = file, .arguments = {"--log.level=debug"}, .environment = {{"TEST_LEVEL", "info"}}});
  REQUIRE(from_flag.has_value());
  CHECK(from_flag->get_string("log.level") == "debug");
  CHECK(from_flag->get("log.level").from.where == "--log.level");
}

TEST_CASE("config load: a credential is stronger than the file and weaker than the environment") {
  auto schema = std::make_shared<config::schema>();
  auto url = make("database.url", config::value_type::url, "");
  url.credential = "database_url";
  url.environment = "TEST_URL";
  schema->add(url);
  auto token = make("http.token_file", config::value_type::string, "");
  token.credential = "http_token";
  schema->add(token);
  const temporary_directory credentials;
  const std::string file = "[database]\nurl = postgresql://file/d\n";
  const std::map<std::string, std::string> environment{{"CREDENTIALS_DIRECTORY", credentials.path()}};

  const auto without = load_from(schema, {.file = file, .environment = environment});
  REQUIRE(without.has_value());
  CHECK(without->get_string("database.url") == "postgresql://file/d");
  CHECK(without->get_string("http.token_file").empty());

  std::ofstream(credentials.path() + "/database_url") << "postgresql://credential/d \nsecond line\n";
  std::ofstream(credentials.path() + "/http_token") << "0123456789abcdef\n";
  const auto with = load_from(schema, {.file = file, .environment = environment});
  REQUIRE(with.has_value());
  CHECK(with->get_string("database.url") == "postgresql://credential/d");
  CHECK(with->get("database.url").from.where == "credential database_url");
  CHECK(with->get_string("http.token_file") == credentials.path() + "/http_token");

  auto named = environment;
  named["TEST_URL"] = "postgresql://environment/d";
  const auto stronger = load_from(schema, {.file = file, .environment = named});
  REQUIRE(stronger.has_value());
  CHECK(stronger->get_string("database.url") == "postgresql://environment/d");

  std::ofstream(credentials.path() + "/database_url", std::ios::trunc) << "\n";
  const auto text = error_text(load_from(schema, {.file = file, .environment = environment}));
  CHECK(text == "credential database_url: database.url: cannot read a line of " + credentials.path() + "/database_url");
}

TEST_CASE("config load: a general environment value is weaker than the file and applies to the rest") {
  const auto loaded =
      load_from(small_schema(), {.file = "[queue.votes]\nmax_retries = 7\n", .environment = {{"TEST_RETRIES", "5"}}});
  REQUIRE(loaded.has_value());
  CHECK(loaded->get_int("queue.votes.max_retries") == 7);
  CHECK(loaded->get_int("queue.metrics.max_retries") == 5);
  CHECK(loaded->get("queue.metrics.max_retries").from.where == "TEST_RETRIES");
}

TEST_CASE("config load: every error is reported with file, line and key") {
  const auto text =
      error_text(load_from(small_schema(), {.file = "# comment\n[log]\nlevle = debug\n[pool]\nsize = 9\nnonsense\n",
                                            .arguments = {"--stop.grace_ms=soon"}}));
  INFO(text);
  CHECK(text.find(".ini:3: log.levle: unknown key; did you mean log.level?") != std::string::npos);
  CHECK(text.find(".ini:5: pool.size: expected an integer from 1 to 8, got '9'") != std::string::npos);
  CHECK(text.find(".ini:6: expected name = value") != std::string::npos);
  CHECK(text.find("--stop.grace_ms: expected whole milliseconds, got 'soon'") != std::string::npos);
}

TEST_CASE("config load: an unknown flag is an error with a suggestion") {
  const auto text = error_text(load_from(small_schema(), {.arguments = {"--pool.sizes=3"}}));
  CHECK(text == "--pool.sizes: unknown key; did you mean pool.size?");
  CHECK(error_text(load_from(small_schema(), {.arguments = {"--wholly.other=3"}})) == "--wholly.other: unknown key");
}

TEST_CASE("config load: a flag may be empty, and takes a text of the file away") {
  auto schema = std::make_shared<config::schema>();
  config::setting name;
  name.key = "a.name";
  schema->add(name);
  auto size = name;
  size.key = "a.size";
  size.type = config::value_type::integer;
  size.fallback = "3";
  schema->add(size);
  const auto loaded = load_from(schema, {.file = "[a]\nname = x\n", .arguments = {"--a.name="}});
  REQUIRE(loaded.has_value());
  CHECK(loaded->get_string("a.name").empty());
  CHECK(loaded->get("a.name").from.where == "--a.name");
  CHECK_THAT(error_text(load_from(schema, {.arguments = {"--a.size="}})),
             Catch::StartsWith("--a.size: expected an integer"));
  CHECK(error_text(load_from(schema, {.arguments = {"--a.names="}})) == "--a.names: unknown key; did you mean a.name?");
}

TEST_CASE("config load: a prefix of a flag is not the flag") {
  CHECK(load_from(small_schema(), {.arguments = {"--pool.siz=3"}}).has_error());
}

TEST_CASE("config load: a missing file, a repeated key and a missing section are errors") {
  CHECK(error_text(load_from(small_schema(), {}, "/nonexistent/x.ini")) == "/nonexistent/x.ini: cannot read this file");
  const auto repeated = error_text(load_from(small_schema(), {.file = "[pool]\nsize = 2\nsize = 3\n"}));
  CHECK(repeated.find(":3: pool.size: this key is in line 2 already") != std::string::npos);
  CHECK(load_from(small_schema(), {.file = "size = 2\n"}).has_error());
  CHECK(error_text(load_from(small_schema(), {.file = "[pool\n"})).find(":1: expected [section]") != std::string::npos);
}

TEST_CASE("config load: a required value must come from somewhere") {
  auto schema = std::make_shared<config::schema>();
  auto url = make("database.url", config::value_type::url, "");
  url.required = true;
  url.environment = "TEST_URL";
  schema->add(url);
  CHECK(error_text(load_from(schema, {})) ==
        "database.url: a value is required, in the file that --config names, or from the environment (TEST_URL)");
  CHECK(load_from(schema, {.environment = {{"TEST_URL", "postgresql:///x"}}}).has_value());
  CHECK(load_from(schema, {.environment = {{"TEST_URL", ""}}}).has_error());
}

TEST_CASE("config load: values keep '#' and '=' and lose surrounding space") {
  const auto loaded = load_from(small_schema(), {.file = "[executor.step]\n  flush_cache =  echo a=b # c \n"});
  REQUIRE(loaded.has_value());
  CHECK(loaded->get_string("executor.step.flush_cache") == "echo a=b # c");
  CHECK(loaded->names_of("executor.step.*") == std::vector<std::string>{"flush_cache"});
}

TEST_CASE("config load: a family takes well-formed names only, from a flag too") {
  const auto loaded = load_from(small_schema(), {.arguments = {"--executor.step.git_revert", "true"}});
  REQUIRE(loaded.has_value());
  CHECK(loaded->get_string("executor.step.git_revert") == "true");
  CHECK(load_from(small_schema(), {.arguments = {"--executor.step.Bad!=x"}}).has_error());
  CHECK(load_from(small_schema(), {.file = "[queue.vots]\nmax_retries = 1\n"}).has_error());
}

TEST_CASE("config values: typed getters") {
  const auto loaded =
      load_from(small_schema(), {.arguments = {"--http.peers= a, b ,,c", "--consensus.approval_ratio=0.75"}});
  REQUIRE(loaded.has_value());
  CHECK(loaded->get_ms("stop.grace_ms") == 10s);
  CHECK(loaded->get_decimal("consensus.min_confidence").str() == "0.85");
  CHECK(loaded->get_bool("consensus.proposer_may_vote"));
  CHECK(loaded->get_ratio("consensus.approval_ratio") == config::ratio{3, 4});
  CHECK(loaded->get_list("http.peers") == std::vector<std::string>{"a", "b", "c"});
  CHECK_FALSE(loaded->is_set("http.token"));
  CHECK_THROWS_AS(loaded->get_int("log.level"), std::logic_error);
  CHECK_THROWS_AS(loaded->get("no.such"), std::logic_error);
}

TEST_CASE("config load: bad values of each type are refused") {
  const auto flag =
      GENERATE(as<std::string>{}, "--pool.size=0", "--pool.size=1.5", "--pool.size=", "--pool.size=1e9",
               "--pool.size=99999999999999999999", "--consensus.approval_ratio=3/2", "--consensus.approval_ratio=1/0",
               "--consensus.approval_ratio=-1/3", "--consensus.min_confidence=high",
               "--consensus.proposer_may_vote=maybe", "--log.level=loud", "--http.token=a\x01z");
  INFO(flag);
  CHECK(load_from(small_schema(), {.arguments = {flag}}).has_error());
}

TEST_CASE("config print: origins are shown and secrets are not") {
  const auto loaded =
      load_from(small_schema(), {.arguments = {"--http.token=sesame", "--executor.step.x=curl http://u:pw@h"}});
  REQUIRE(loaded.has_value());
  for (const auto& text : {config::print_effective(*loaded), config::print_effective_json(*loaded)}) {
    INFO(text);
    CHECK(text.find("sesame") == std::string::npos);
    CHECK(text.find("pw@") == std::string::npos);
    CHECK(text.find("--http.token") != std::string::npos);
    CHECK(text.find("executor.step.x") != std::string::npos);
  }
  const auto rows = boost::json::parse(config::print_effective_json(*loaded)).as_array();
  CHECK(rows.at(0).at("key").as_string() == "log.level");
  CHECK(rows.at(0).at("origin").as_string() == "default");
}

TEST_CASE("config load: a bad secret is not repeated in the error") {
  const auto text = error_text(load_from(small_schema(), {.arguments = {"--http.token=ses\x01me"}}));
  CHECK(text.find("ses") == std::string::npos);
}

TEST_CASE("config diff: names what changed and what a reload leaves alone") {
  const auto schema = small_schema();
  const auto before = load_from(schema, {.arguments = {"--executor.step.old=a"}});
  const auto after = load_from(schema, {.arguments = {"--log.level=debug", "--pool.size=5"}});
  REQUIRE((before.has_value() && after.has_value()));
  const auto changes = config::diff(*before, *after);
  REQUIRE(changes.size() == 3);
  CHECK(changes[0].key == "log.level");
  CHECK(changes[0].reloadable);
  CHECK(changes[1].key == "pool.size");
  CHECK(changes[1].before == "4");
  CHECK(changes[1].after == "5");
  CHECK_FALSE(changes[1].reloadable);
  CHECK(changes[2].key == "executor.step.old");
  const auto merged = config::apply_reloadable(*before, *after);
  CHECK(merged.get_string("log.level") == "debug");
  CHECK(merged.get_int("pool.size") == 4);
  CHECK(merged.get_string("executor.step.old") == "a");
}

TEST_CASE("config example: it loads and gives the defaults back") {
  const auto schema = small_schema();
  const auto example = config::example_ini(*schema, "Example");
  INFO(example);
  const auto loaded = load_from(schema, {.file = example});
  REQUIRE(loaded.has_value());
  const auto plain = load_from(schema, {});
  REQUIRE(plain.has_value());
  CHECK(config::diff(*plain, *loaded).empty());
  for (const auto& what : schema->settings()) CHECK(example.find(what.sentence) != std::string::npos);
}

TEST_CASE("config schema: a key twice, without section or with a bad default is a defect") {
  config::schema schema;
  schema.add(make("a.b", config::value_type::integer, "1"));
  CHECK_THROWS_AS(schema.add(make("a.b", config::value_type::integer, "1")), std::logic_error);
  CHECK_THROWS_AS(schema.add(make("ab", config::value_type::integer, "1")), std::logic_error);
  CHECK_THROWS_AS(schema.add(make("a.c", config::value_type::integer, "x")), std::logic_error);
}

TEST_CASE("config split: takes out the file and the settings") {
  const auto parts =
      config::split({"propose", "--log.level", "debug", "x.json", "--config=a.ini", "--wait", "--pool.size=2"});
  REQUIRE(parts.has_value());
  CHECK(parts->file == "a.ini");
  CHECK(parts->settings == std::vector<std::string>{"--log.level=debug", "--pool.size=2"});
  CHECK(parts->rest == std::vector<std::string>{"propose", "x.json", "--wait"});
  CHECK(config::split({"run", "--config"}).has_error());
  CHECK(config::split({"run", "--log.level", "--wait"}).has_error());
}
