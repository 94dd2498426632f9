// The example configurations are what the daemons themselves print, and are valid.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"

using namespace fleet::test;

TEST_CASE("config: the example files are what check-config --example prints") {
  for (const auto* name : {"centralcloud_daemon", "singularity_agent"}) {
    const auto printed = shell(fmt::format("'{}' check-config --example", daemon_binary(name)));
    CHECK(printed == shell(fmt::format("cat '{}/config/{}.ini'", FLEET_SOURCE_DIR, name)));
  }
}

TEST_CASE("config: the page of all settings is what the daemons print") {
  const auto page = shell(fmt::format("cat '{}/config/README.md'", FLEET_SOURCE_DIR));
  const auto printed = shell(fmt::format("'{}' check-config --markdown && echo && '{}' check-config --markdown",
                                         daemon_binary("centralcloud_daemon"), daemon_binary("singularity_agent")));
  const auto from = page.find("## centralcloud_daemon\n");
  REQUIRE(from != std::string::npos);
  CHECK(page.substr(from) == printed);
}

TEST_CASE("config: the page's own command makes the page and the examples") {
  const auto made = shell(fmt::format(
      "d=$(mktemp -d) && cp -r '{}/config' $d && mkdir $d/build && ln -s \"$(dirname '{}')\" $d/build/bin && cd $d && "
      "awk '/^```sh$/ {{on = 1; next}} /^```$/ {{on = 0}} on' config/README.md > commands && sh commands && diff -r "
      "config '{}/config' && "
      "wc -l < commands; rm -rf $d",
      FLEET_SOURCE_DIR, daemon_binary("centralcloud_daemon"), FLEET_SOURCE_DIR));
  CHECK(made == "2");
}

TEST_CASE("config: an agent's example says all but what only its owner knows") {
  const auto output =
      shell(fmt::format("'{}' check-config --config '{}/config/singularity_agent.ini' --instance.id me "
                        "--executor.repository /srv/service "
                        "--database.url postgresql://u:secret@h/d",
                        daemon_binary("singularity_agent"), FLEET_SOURCE_DIR));
  CHECK_THAT(output, Catch::Contains("instance.id") && Catch::Contains("metrics.interval_ms"));
  CHECK_THAT(output, !Catch::Contains("secret"));
}
