#include "tests/system/faults/proxy.hpp"

#include <fcntl.h>

#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <list>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/system/faults/wire.hpp"

namespace fleet::test::faults {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto no_throw = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds late_by{200};
constexpr std::chrono::milliseconds look_again{20};

/// A child process that got a copy would keep the connection open when it is closed here.
void not_for_children(tcp::socket& socket) {
  ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
}

struct door {
  door(asio::io_context& on, std::string its_name)
      : name(std::move(its_name)), acceptor(on, {asio::ip::address_v4::loopback(), 0}) {}
  std::string name;
  tcp::acceptor acceptor;
  link_fault fault = link_fault::none;
  link_scope scope = link_scope::all;
};

struct link {
  link(door& through, tcp::socket from, asio::io_context& on) : at(through), client(std::move(from)), server(on) {}
  /// The fault that holds for this connection now.
  link_fault fault() const { return at.scope == link_scope::all || listens ? at.fault : link_fault::none; }
  void abort() {
    for (auto* each : {&client, &server}) {
      error_code ignored;
      each->set_option(asio::socket_base::linger(true, 0), ignored);
      each->close(ignored);
    }
  }
  bool open() const { return client.is_open() && (server.is_open() || forsaken); }

  door& at;
  tcp::socket client;
  tcp::socket server;
  bool listens = false;
  bool forsaken = false;  ///< half open: the client talks to nobody
};

}  // namespace

struct fault_proxy::state {
  explicit state(int port)
      : upstream(asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)),
        work(asio::make_work_guard(io)),
        thread([this] { io.run(); }) {}

  ~state() {
    io.stop();
    thread.join();
  }

  awaitable<void> serve(door& at);
  awaitable<void> begin(std::shared_ptr<link> on);
  awaitable<void> pump(std::shared_ptr<link> on, bool to_server);
  awaitable<bool> forward(std::shared_ptr<link> on, tcp::socket& to, std::string bytes);
  void strike(door& at);

  /// Runs on the proxy's thread and waits for it.
  template <class F>
  void there(F what) {
    std::promise<void> done;
    asio::post(io, [&] {
      what();
      done.set_value();
    });
    done.get_future().wait();
  }

  asio::io_context io{1};
  tcp::endpoint upstream;
  std::list<door> doors;
  std::vector<std::weak_ptr<link>> links;
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> dropped{0};
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::thread thread;
};

awaitable<void> fault_proxy::state::serve(door& at) {
  for (;;) {
    auto [failed, client] = co_await at.acceptor.async_accept(no_throw);
    if (failed) co_return;
    ++accepted;
    not_for_children(client);
    auto on = std::make_shared<link>(at, std::move(client), io);
    std::erase_if(links, [](const auto& each) { return each.expired(); });
    links.push_back(on);
    if (at.fault == link_fault::reset && at.scope == link_scope::all) {
      on->abort();
    } else {
      asio::co_spawn(io, begin(on), asio::detached);
    }
  }
}

awaitable<void> fault_proxy::state::begin(std::shared_ptr<link> on) {
  on->server.open(upstream.protocol());
  not_for_children(on->server);
  const auto [failed] = co_await on->server.async_connect(upstream, no_throw);
  if (failed) {
    on->abort();
    co_return;
  }
  for (auto* each : {&on->client, &on->server}) {
    error_code ignored;
    each->set_option(tcp::no_delay(true), ignored);
  }
  asio::co_spawn(io, pump(on, true), asio::detached);
  asio::co_spawn(io, pump(on, false), asio::detached);
}

/// False: the connection is gone.
awaitable<bool> fault_proxy::state::forward(std::shared_ptr<link> on, tcp::socket& to, std::string bytes) {
  asio::steady_timer timer(io);
  if (on->fault() == link_fault::delay) {
    timer.expires_after(late_by);
    co_await timer.async_wait(no_throw);
  }
  while (on->open() && on->fault() == link_fault::black_hole) {
    timer.expires_after(look_again);
    co_await timer.async_wait(no_throw);
  }
  if (!on->open()) co_return false;
  if (on->forsaken) co_return true;
  const auto step = on->fault() == link_fault::trickle ? std::size_t{1} : bytes.size();
  for (std::size_t sent = 0; sent < bytes.size(); sent += step) {
    const auto part = asio::buffer(bytes.data() + sent, std::min(step, bytes.size() - sent));
    const auto [failed, written] = co_await asio::async_write(to, part, no_throw);
    if (failed) co_return false;
  }
  co_return true;
}

awaitable<void> fault_proxy::state::pump(std::shared_ptr<link> on, bool to_server) {
  auto& from = to_server ? on->client : on->server;
  auto& to = to_server ? on->server : on->client;
  message_scanner scanner(to_server);
  std::array<char, 16384> buffer{};
  for (;;) {
    const auto [failed, size] = co_await from.async_read_some(asio::buffer(buffer), no_throw);
    if (failed) break;
    std::string bytes(buffer.data(), size);
    bool drop = false;
    for (const auto& each : scanner.feed(bytes)) {
      if (to_server && is_listen(each)) on->listens = true;
      if (to_server || !is_commit_reply(each) || on->fault() != link_fault::drop_commit_reply) continue;
      bytes.resize(each.begin);
      drop = true;
      break;
    }
    const bool sent = co_await forward(on, to, std::move(bytes));
    if (!sent) break;
    if (drop) {
      ++dropped;
      break;
    }
  }
  // Of a half-open connection the server's side ends; its client must not learn of it.
  if (to_server || !on->forsaken) on->abort();
}

void fault_proxy::state::strike(door& at) {
  for (const auto& weak : links) {
    const auto on = weak.lock();
    if (!on || &on->at != &at || on->fault() != at.fault) continue;
    if (at.fault == link_fault::reset) on->abort();
    if (at.fault == link_fault::half_open && on->server.is_open()) {
      on->forsaken = true;
      error_code ignored;
      on->server.close(ignored);
    }
  }
}

fault_proxy::fault_proxy(int upstream_port) : state_(std::make_unique<state>(upstream_port)) {}
fault_proxy::~fault_proxy() = default;

int fault_proxy::open(const std::string& name) {
  int port = 0;
  state_->there([&] {
    auto& made = state_->doors.emplace_back(state_->io, name);
    port = made.acceptor.local_endpoint().port();
    asio::co_spawn(state_->io, state_->serve(made), asio::detached);
  });
  return port;
}

void fault_proxy::set(const std::string& name, link_fault what, link_scope scope) {
  bool found = name.empty();
  state_->there([&] {
    for (auto& each : state_->doors) {
      if (!name.empty() && each.name != name) continue;
      found = true;
      each.fault = what;
      each.scope = scope;
      state_->strike(each);
    }
  });
  if (!found) throw std::runtime_error("the proxy has no door " + name);
}

std::uint64_t fault_proxy::connections() const {
  return state_->accepted;
}
std::uint64_t fault_proxy::dropped_commits() const {
  return state_->dropped;
}

}  // namespace fleet::test::faults
