// All that a program needs of the queue layer: the pool, publishing, consuming, sleeping, effects outside the database.
// A handler, and the `find` and `perform` of an effect, must not leave its transaction without a statement for as long
// as `idle_in_transaction_timeout` of the settings. `perform_once` takes a connection besides the worker's: a pool for
// both has more connections than workers. The queue and the table of this example are made with
//   select quantumflow.declare_queue('orders_queue', 'lanes', '{customer}', 8);
//   create table invoice (customer text);
// and this is a whole program (tests/integration/quantumflow/example, built and run by example_test.cpp):
//
//   #include <boost/asio/co_spawn.hpp>
//   #include <boost/asio/io_context.hpp>
//   #include <iostream>
//
//   #include "common/quantumflow/quantumflow.hpp"
//
//   using namespace fleet;
//   using boost::asio::awaitable;
//
//   /// The invoices and the place in the queue commit together: an order makes one, whatever crashes, and when.
//   awaitable<std::vector<quantumflow::outcome>> bill(postgres::transaction& open,
//                                                     std::span<const quantumflow::message> orders) {
//     std::vector<quantumflow::outcome> outcomes;
//     for (const auto& order : orders) {
//       auto values = postgres::make_params(order.body);
//       co_await open.query("insert into invoice (customer) select $1::jsonb ->> 'customer'", std::move(values));
//       outcomes.push_back(quantumflow::outcome::done());
//     }
//     co_return outcomes;
//   }
//
//   awaitable<void> order_and_bill(postgres::pool& pool, quantumflow::waker& wake_ups, async::stop_source& stop) {
//     co_await quantumflow::subscribe(pool, "orders_queue", "billing");
//
//     quantumflow::publication order;
//     order.queue = "orders_queue";
//     order.payload["customer"] = "c1";
//     co_await quantumflow::publish(pool, std::move(order));
//
//     quantumflow::consumer_options options;
//     options.queue = "orders_queue";
//     options.group = "billing";
//     const auto committed = [&](const quantumflow::message& taken, const quantumflow::outcome& what) {
//       std::cout << taken.body << ": " << quantumflow::fate_of(what) << '\n';
//       stop.request_soft();  // a service would go on until it is told to stop
//     };
//     quantumflow::consumer worker(pool, wake_ups, std::move(options), bill, committed);
//     co_await worker.run(stop.token());
//   }
//
//   int main(int, char** arguments) try {
//     boost::asio::io_context io;
//     postgres::settings database;
//     database.url = arguments[1];
//     postgres::pool pool(io.get_executor(), database, 4);
//     quantumflow::waker wake_ups(io.get_executor(), database);
//     async::stop_source stop(io.get_executor());
//     std::exception_ptr failure;
//     const auto ended = [&](std::exception_ptr why) {
//       if (why) failure = why;
//       stop.request_soft();  // a service would start the part again
//     };
//     boost::asio::co_spawn(io, wake_ups.run(stop.token()), ended);
//     boost::asio::co_spawn(io, order_and_bill(pool, wake_ups, stop), ended);
//     io.run();
//     if (failure) std::rethrow_exception(failure);
//   } catch (const std::exception& failed) {
//     std::cerr << failed.what() << '\n';
//     return 1;
//   }
#pragma once
#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/consumer.hpp"
#include "common/quantumflow/effect.hpp"
#include "common/quantumflow/publish.hpp"
#include "common/quantumflow/publisher.hpp"
#include "common/quantumflow/waker.hpp"
