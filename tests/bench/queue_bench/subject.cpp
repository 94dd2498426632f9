#include "tests/bench/queue_bench/subject.hpp"

#include "tests/bench/queue_bench/session.hpp"

namespace fleet::bench {

void subject::prepare() {
  server_.create_database(database());
  make_schema();
  session admin(server_.url());
  admin.script("drop database if exists " + database() + "_template");
  admin.script("alter database " + database() + " rename to " + database() + "_template");
}

void subject::renew() {
  session admin(server_.url());
  admin.script("drop database if exists " + database() + " with (force)");
  admin.script("create database " + database() + " template " + database() + "_template");
}

}  // namespace fleet::bench
