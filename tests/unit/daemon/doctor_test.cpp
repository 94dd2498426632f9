#include "common/daemon/doctor.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <sstream>
#include <thread>

using namespace fleet;
using boost::asio::ip::tcp;

namespace {

/// Answers one request with `answer`, whatever it was.
class one_answer {
 public:
  explicit one_answer(std::string answer)
      : acceptor_(io_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)),
        thread_([this, text = std::move(answer)] {
          auto socket = acceptor_.accept();
          boost::asio::streambuf request;
          boost::asio::read_until(socket, request, "\r\n\r\n");
          boost::asio::write(socket, boost::asio::buffer(text));
        }) {}
  ~one_answer() { thread_.join(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::thread thread_;
};

std::string http(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" +
         body;
}

daemon::command_table table_of(std::vector<base::finding> found) {
  daemon::service what;
  what.program = "tested";
  what.role = "the tested one";
  auto schema = std::make_shared<config::schema>();
  config::setting token;
  token.key = "http.token_file";
  token.sentence = "None.";
  schema->add(token);
  what.schema = schema;
  what.check = [](const config::values&) { return base::result<void>(); };
  daemon::examination more;
  more.address_of = [](const config::values&) { return std::string(); };
  more.examine = [found](const config::values&) -> boost::asio::awaitable<std::vector<base::finding>> {
    if (found.empty()) throw std::runtime_error("a defect");
    co_return found;
  };
  daemon::command_table table("tested", "A test.", "1");
  daemon::add_doctor_command(table, what, std::move(more));
  return table;
}

}  // namespace

TEST_CASE("doctor: exit code, advice, and nothing secret in what it prints") {
  std::ostringstream out;
  std::ostringstream err;
  const auto fine = table_of({base::warned("one", "so so", "look")}).run({"doctor"}, out, err);
  CHECK(fine == 0);
  CHECK_THAT(out.str(), Catch::Contains("warn  one            so so\n") && Catch::Contains("→ look\n"));
  CHECK_THAT(out.str(), Catch::EndsWith("2 checks: 0 failed, 1 to look at\n"));

  out.str("");
  const auto bad = table_of({base::failed("one", "postgresql://u:secret@h/d\nis away", "")}).run({"doctor"}, out, err);
  CHECK(bad == 1);
  CHECK_THAT(out.str(), Catch::Contains("is away") && !Catch::Contains("secret") && !Catch::Contains("d\nis"));

  out.str("");
  CHECK(table_of({}).run({"doctor", "--json"}, out, err) == 1);
  CHECK_THAT(out.str(), Catch::Contains("a defect") && Catch::Contains("\"ok\":false"));
}

TEST_CASE("doctor: who answers where the daemon should") {
  const auto examine = [](const std::string& answer) {
    const one_answer peer(answer);
    const auto found = daemon::examine_process(peer.address());
    return std::string(base::to_string(found.found)) + ": " + found.text;
  };
  CHECK_THAT(examine(http("200 OK", R"({"ready": true, "missing": []})")), Catch::StartsWith("ok: runs and is ready"));
  CHECK_THAT(examine(http("503 Busy", R"({"ready": false, "missing": [{"name": "database", "reason": "away"}]})")),
             Catch::StartsWith("warn: runs at") && Catch::EndsWith("is not ready: database: away"));
  const auto* outage = R"({"ready": false, "missing": [{"name": "database", "reason": "away"},
    {"name": "worker a", "reason": "away for 3 s"}, {"name": "worker b", "reason": "away for 5 s"}, {"name": "schema"}]})";
  CHECK_THAT(examine(http("503 Busy", outage)),
             Catch::EndsWith("not ready: database: away; schema; 2 workers wait for it"));
  CHECK_THAT(examine(http("503 Busy", R"({"ready": false, "missing": [{"name": "worker a", "reason": "a defect"}]})")),
             Catch::EndsWith("not ready: worker a: a defect"));
  CHECK_THAT(examine(http("200 OK", "hello")), Catch::StartsWith("fail: another program answers"));
  CHECK_THAT(examine("SSH-2.0-OpenSSH\r\n"), Catch::StartsWith("warn: does not run: "));
}
