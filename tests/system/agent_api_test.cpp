// The agent's local API with agents that run: lists and their pages, suggestions, profiles, events, and the TCP
// address.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>

#include "common/http/client.hpp"
#include "common/http/message.hpp"
#include "tests/support/commands.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/results.hpp"
#include "tests/support/run.hpp"

using namespace fleet;
using namespace fleet::test;
namespace json = boost::json;

namespace {

/// The fields that an answer complains of, separated by blanks.
std::string wrong_fields(const daemon_answer& answer) {
  std::string all;
  const auto* errors = answer.body.if_contains("errors");
  if (errors == nullptr) return all;
  for (const auto& each : errors->as_array()) {
    CHECK_FALSE(each.at("message").as_string().empty());
    all += (all.empty() ? "" : " ") + std::string(each.at("field").as_string());
  }
  return all;
}

void check_refused(const agent_process& agent, const std::string& target, const std::string& field) {
  const auto answer = agent.call("GET", target);
  CAPTURE(target, json::serialize(answer.body));
  CHECK(answer.status == 400);
  CHECK(answer.body.at("type") == "urn:problem:invalid_input");
  CHECK(wrong_fields(answer) == field);
}

std::vector<std::string> ids_of(const json::value& proposals) {
  std::vector<std::string> ids;
  for (const auto& each : proposals.as_array()) ids.emplace_back(each.at("proposal_id").as_string());
  return ids;
}

std::vector<std::string> ids_at(const agent_process& agent, const std::string& target) {
  const auto answer = agent.call("GET", target);
  CAPTURE(target, json::serialize(answer.body));
  REQUIRE(answer.status == 200);
  return ids_of(answer.body.at("proposals"));
}

using names = std::vector<std::string>;

http::client_request to_agent(const std::string& address, const std::string& method, const std::string& target) {
  http::client_request request;
  request.to = http::endpoint::parse(address).value();
  request.method = method;
  request.target = target;
  return request;
}

/// The states that the proposal's events go to, in their order, up to `last`; each must begin where the one before
/// ended.
names states_followed(boost::asio::io_context& io, http::event_reader& events, const std::string& proposal,
                      const std::string& last) {
  names states;
  while (states.empty() || states.back() != last) {
    const auto event = test::run(io, events.next(std::chrono::seconds(20)));
    if (!event || !*event) break;
    CHECK((*event)->name == "step");
    const auto step = json::parse((*event)->data).as_object();
    CAPTURE(json::serialize(step));
    if (step.at("proposal_id") != proposal.c_str()) continue;
    const auto& from = step.at("from");
    CHECK((states.empty() ? from.is_null() : from == states.back().c_str()));
    CHECK_FALSE(step.at("at").as_string().empty());
    CHECK(step.contains("cause"));
    states.emplace_back(step.at("to").as_string());
  }
  return states;
}

}  // namespace

TEST_CASE("agent api: proposals are listed newest first, by state and in pages; what is wrong is named") {
  // Nobody decides: two are on their way, the others wait.
  daemon_fleet fleet(
      {.name = "api_proposals", .agents = 1, .coordinators = 0, .agent_settings = {{"proposals.max_in_flight", "2"}}});
  auto& agent = fleet.agent(0);
  CHECK(ids_at(agent, "/v1/proposals").empty());
  names all;
  for (const auto* id : {"p1", "p2", "p3 ä/?&", "p4", "p5"}) {
    auto proposal = proposal_of({{"service.conf", "greeting=hi\n"}});
    proposal["proposal_id"] = id;
    REQUIRE(agent.call("POST", "/v1/proposals", proposal).status == 201);
    all.insert(all.begin(), id);
  }
  REQUIRE(wait_until([&] { return ids_at(agent, "/v1/proposals?status=sent_for_consensus").size() == 2; }));
  CHECK(ids_at(agent, "/v1/proposals") == all);
  CHECK(ids_at(agent, "/v1/proposals?status=applied").empty());
  auto by_state = ids_at(agent, "/v1/proposals?status=pending");
  CHECK(by_state.size() == 3);
  const auto sent = ids_at(agent, "/v1/proposals?status=sent_for_consensus&limit=1000");
  by_state.insert(by_state.end(), sent.begin(), sent.end());
  std::sort(by_state.begin(), by_state.end(), std::greater<>());
  CHECK(by_state == all);

  names paged;
  for (int pages = 0; pages < 4; ++pages) {
    const auto after = paged.empty() ? "" : "&after=" + http::percent_encode(paged.back());
    const auto page = ids_at(agent, "/v1/proposals?limit=2" + after);
    const std::size_t expected = pages < 2 ? 2 : pages == 2 ? 1 : 0;
    CHECK(page.size() == expected);
    paged.insert(paged.end(), page.begin(), page.end());
  }
  CHECK(paged == all);
  CHECK(ids_at(agent, "/v1/proposals?status=pending&after=p1").empty());

  check_refused(agent, "/v1/proposals?status=nonsense", "status");
  check_refused(agent, "/v1/proposals?status=", "status");
  for (const auto* wrong : {"0", "1001", "-1", "x", "1x", ""})
    check_refused(agent, "/v1/proposals?limit=" + std::string(wrong), "limit");
  const auto nowhere = agent.call("GET", "/v1/proposals?after=nobody");
  CHECK(nowhere.status == 404);
  CHECK_THAT(std::string(nowhere.body.at("detail").as_string()), Catch::Contains("after") && Catch::Contains("nobody"));

  const auto listed = run_agent_command(agent, "proposals --json --limit 2 --after p4");
  INFO(listed.all());
  CHECK(ids_of(listed.json()) == names{"p3 ä/?&", "p2"});
  CHECK_THAT(run_agent_command(agent, "proposals --status pending").out,
             Catch::StartsWith("proposal") && Catch::Contains("a test change") && Catch::Contains("pending"));
  const auto wrong = run_agent_command(agent, "proposals --status nonsense");
  CHECK(wrong.code == 2);
  CHECK_THAT(wrong.err, Catch::Contains("--status: expected one of pending, ") && Catch::Contains("got nonsense"));
  CHECK(run_agent_command(agent, "proposals --limit '2&status=applied'").code == 1);
}

TEST_CASE("agent api: suggestions and safety profiles answer with lists, or name what is wrong") {
  daemon_fleet fleet({.name = "api_knowledge", .agents = 1, .coordinators = 0});
  auto& agent = fleet.agent(0);
  const auto suggest = [&](const json::object& body) { return agent.call("POST", "/v1/patterns/suggest", body); };
  CHECK(wrong_fields(suggest({{"code", "x"}})) == "pattern_type");
  CHECK(wrong_fields(suggest({{"code", 5}, {"pattern_type", "cache"}})) == "code");
  CHECK(wrong_fields(suggest({{"code", ""}, {"pattern_type", "cache"}})) == "code");
  CHECK(wrong_fields(suggest({{"code", std::string((1U << 20) + 1, 'x')}, {"pattern_type", "cache"}})) == "code");
  const auto broken = agent.raw_call("POST", "/v1/patterns/suggest", "{\"code\": ");
  CHECK(broken.status == 400);
  CHECK(wrong_fields(broken).empty());  // the body itself
  CHECK(broken.body.at("errors").as_array().size() == 1);
  CHECK(suggest({{"code", "x"}, {"pattern_type", "cache"}}).body == json::object{{"suggestions", json::array()}});
  // Six that fit and one that does not: the five that fit best come, the best first.
  for (int n = 1; n <= 7; ++n) {
    const auto before = n == 7 ? "nothing alike" : "a b c d e f g h i j" + std::string(n > 3 ? " k" : "");
    fleet.psql("select singularity.put_pattern('agent-0', '{\"pattern_id\": \"k" + std::to_string(n) +
               "\", \"pattern_type\": \"cache\", \"code_pattern\": {\"before\": \"" + before +
               "\", \"after\": \"x\", \"description\": \"d\"}, \"success_rate\": 0.9" + std::to_string(n) +
               ", \"consensus_score\": 0.9, \"source_instances\": [\"a\"], \"usage_count\": 1}', now())");
  }
  const auto found = suggest({{"code", "a b c d e f g h i j"}, {"pattern_type", "cache"}});
  REQUIRE(found.status == 200);
  names ids;
  for (const auto& each : found.body.at("suggestions").as_array()) {
    ids.emplace_back(each.at("pattern_id").as_string());
    CHECK(each.at("similarity").to_number<double>() == Approx(ids.back() > "k3" ? 10.0 / 11 : 1.0).margin(1e-5));
  }
  CHECK(ids == names{"k3", "k2", "k1", "k6", "k5"});

  CHECK(agent.call("GET", "/v1/safety-profiles").body == json::object{{"safety_profiles", json::array()}});
  const auto put = [&](const std::string& type, const std::string& threshold) {
    fleet.psql("select singularity.put_safety_profile('agent-0', '" + type + "', '{\"error_threshold\": " + threshold +
               "}', 'operator', '2026-01-01T00:00:00Z')");
  };
  put("Bug Fixer/ä", "0.25");
  put("Alpha", "0.5");
  const auto profiles = agent.call("GET", "/v1/safety-profiles");
  REQUIRE(profiles.status == 200);
  const auto& list = profiles.body.at("safety_profiles").as_array();
  REQUIRE(list.size() == 2);
  CHECK(list[0].at("agent_type") == "Alpha");
  const auto one = agent.call("GET", "/v1/safety-profiles/" + http::percent_encode("Bug Fixer/ä"));
  CHECK(one.status == 200);
  CHECK(json::value(one.body) == list[1]);
  CHECK(one.body.at("safety_profile") == json::object{{"error_threshold", 0.25}});
  CHECK(one.body.at("source") == "operator");
  const auto unknown = agent.call("GET", "/v1/safety-profiles/Beta");
  CHECK(unknown.status == 404);
  CHECK(unknown.body.at("type") == "urn:problem:not_found");
  CHECK_THAT(std::string(unknown.body.at("detail").as_string()), Catch::Contains("'Beta'"));
  CHECK(agent.call("DELETE", "/v1/safety-profiles").status == 405);
}

TEST_CASE("agent api: the event stream tells each step once, from the moment of its answer on, to everybody") {
  daemon_fleet fleet({.name = "api_events", .agents = 1, .coordinator_settings = {{"consensus.min_votes", "1"}}});
  auto& agent = fleet.agent(0);
  const auto propose = [&](const std::string& id, double risk) {
    auto proposal = proposal_of({{"service.conf", "greeting=" + id + "\n"}}, risk, 8);
    proposal["proposal_id"] = id;
    REQUIRE(agent.call("POST", "/v1/proposals", proposal).status == 201);
  };
  propose("before", 2);
  REQUIRE(wait_until([&] { return agent.status_of("before") == "applied"; }));
  boost::asio::io_context io;
  const auto open = [&] {
    auto events = test::run(io, http::event_reader::open(to_agent("unix:" + agent.socket, "GET", "/v1/events")));
    REQUIRE(events);
    return std::move(*events);
  };
  auto first = open();
  propose("good", 2);
  const names applied{"pending", "sent_for_consensus", "consensus_reached", "executing", "applied"};
  CHECK(states_followed(io, first, "good", "applied") == applied);
  auto second = open();
  propose("risky", 9.5);
  const names refused{"pending", "sent_for_consensus", "consensus_failed"};
  CHECK(states_followed(io, first, "risky", "consensus_failed") == refused);
  CHECK(states_followed(io, second, "risky", "consensus_failed") == refused);
  INFO(fleet.logs());
  CHECK(fleet.psql("select count(*) from singularity.proposal_step where proposal_id = 'good'") == "5");
}

TEST_CASE("agent api: on a TCP address what changes something needs the token, reading does not") {
  const std::string token = "a token of this machine's agents";
  const auto address = "127.0.0.1:" + std::to_string(free_port());
  const auto file = (std::filesystem::temp_directory_path() / ("agent_token_" + std::to_string(::getpid()))).string();
  std::ofstream(file) << token << "\n";
  daemon_fleet fleet({.name = "api_listen",
                      .agents = 1,
                      .coordinators = 0,
                      .agent_settings = {{"api.listen", address}, {"http.token_file", file}}});
  auto& agent = fleet.agent(0);
  const auto post = [&](const std::string& id, const std::string& with) {
    auto request = to_agent(address, "POST", "/v1/proposals");
    auto proposal = proposal_of({{"service.conf", "greeting=hi\n"}});
    proposal["proposal_id"] = id;
    request.body = json::serialize(proposal);
    request.token = with;
    auto answer = http::call_blocking(std::move(request));
    REQUIRE(answer);
    return std::move(*answer);
  };
  const auto without = post("without", "");
  CHECK(without.status == 401);
  CHECK(without.headers.at("www-authenticate") == "Bearer");
  CHECK(without.headers.at("content-type") == "application/problem+json");
  CHECK(json::parse(without.body).at("type") == "urn:problem:unauthorized");
  CHECK(post("wrong", token + "s").status == 401);
  CHECK(fleet.psql("select count(*) from singularity.proposal") == "0");
  CHECK(post("with", token).status == 201);
  for (const auto* target : {"/healthz", "/readyz", "/metrics", "/v1/proposals/with"}) {
    CAPTURE(target);
    CHECK(http::call_blocking(to_agent(address, "GET", target)).value().status == 200);
  }
  // The socket's mode decides who may: no token there. The command line finds the token by itself.
  auto local = proposal_of({{"service.conf", "greeting=hi\n"}});
  CHECK(agent.call("POST", "/v1/proposals", local).status == 201);
  const auto over_tcp = run_agent_command(agent, "propose - --json --api.socket=", json::serialize(local));
  INFO(over_tcp.all());
  CHECK(over_tcp.code == 0);
  CHECK(over_tcp.json().at("status").is_string());
  const auto no_token = run_agent_command(agent, "propose - --api.socket= --http.token_file=", json::serialize(local));
  CHECK(no_token.code == 1);
  CHECK_THAT(no_token.err, Catch::Contains("token"));
  std::filesystem::remove(file);
}
