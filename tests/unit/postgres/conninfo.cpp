#include "common/postgres/conninfo.hpp"

#include <catch2/catch.hpp>
#include <map>

#include "common/postgres/error.hpp"

using namespace std::chrono_literals;
using fleet::postgres::conninfo;
using fleet::postgres::settings;

namespace {

conninfo of(const std::string& url) {
  settings how;
  how.url = url;
  how.application_name = "ours";
  return conninfo(how);
}

std::map<std::string, std::string> map_of(const conninfo& info, const std::set<std::size_t>& skipped = {}) {
  const auto options = info.options(skipped);
  return {options.begin(), options.end()};
}

}  // namespace

TEST_CASE("conninfo: defaults give way to the url, the encoding does not") {
  const auto plain = map_of(of("postgresql://u@h/d"));
  CHECK(plain.at("application_name") == "ours");
  CHECK(plain.at("keepalives_idle") == "15");
  const auto own = map_of(of("host=h application_name=theirs keepalives_idle=99 client_encoding=LATIN1"));
  CHECK(own.at("application_name") == "theirs");
  CHECK(own.at("keepalives_idle") == "99");
  CHECK(own.at("client_encoding") == "UTF8");
}

TEST_CASE("conninfo: hosts are counted, named and left out") {
  const auto info = of("postgresql://a:1,b:2,c:3/d?target_session_attrs=read-write");
  CHECK(info.hosts() == 3);
  CHECK(info.names() == "a:1, b:2, c:3");
  CHECK(info.index_of("b", "2", {}) == 1);
  const auto rest = map_of(info, {1});
  CHECK(rest.at("host") == "a,c");
  CHECK(rest.at("port") == "1,3");
  CHECK(rest.at("target_session_attrs") == "read-write");
}

TEST_CASE("conninfo: of several hosts the one that can be written to is meant, unless the url says otherwise") {
  CHECK(map_of(of("host=a,b")).at("target_session_attrs") == "read-write");
  CHECK(map_of(of("host=a,b target_session_attrs=any")).at("target_session_attrs") == "any");
  CHECK(map_of(of("host=a")).count("target_session_attrs") == 0);
}

TEST_CASE("conninfo: one port serves all hosts, also when some are left out") {
  const auto rest = map_of(of("host=a,b,c port=7"), {0});
  CHECK(rest.at("host") == "b,c");
  CHECK(rest.at("port") == "7,7");
}

TEST_CASE("conninfo: the url's connect_timeout is taken for each host") {
  CHECK(of("host=a,b connect_timeout=3").host_timeout() == 3s);
  CHECK(of("host=a").host_timeout() == 5s);
}

TEST_CASE("conninfo: a url that libpq cannot read is an error without its password") {
  try {
    of("postgresql://user:hidden@host/x?nonsense=1");
    FAIL("no error");
  } catch (const fleet::postgres::sql_error& error) {
    CHECK(error.kind() == fleet::postgres::sql_kind::invalid_input);
    INFO(error.what());
    CHECK(std::string(error.what()).find("hidden") == std::string::npos);
  }
}
