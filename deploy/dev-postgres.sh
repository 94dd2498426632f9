#!/usr/bin/env bash
# A private PostgreSQL for development, tests and the quickstart. It touches no other cluster on the machine.
#   dev-postgres.sh start|stop|restart|status|url|psql|destroy [--dir DIR] [--port PORT] [--fast] [--tcp] [-- PSQL ARGUMENTS]
#     start     makes the cluster where there is none, starts it, waits until it answers; does nothing where it runs
#     stop      ends it (fast shutdown); the data stays         status   says where it is; exit 3 where it does not run
#     url       prints a libpq URL of role and database `fleet` (Unix socket; loopback with --tcp)
#     psql      psql as role fleet (as the superuser with --admin); arguments after --
#     destroy   stops it and removes every file
#     --dir     where it is remembered (default .dev-postgres beside this repository's README)
#     --port    the loopback port (default: a free one, remembered)
#     --fast    no fsync: for tests whose data is thrown away
#
# How it stays private and reachable:
# - PostgreSQL refuses root. As root, the server runs as `postgres` (else `nobody`); as anyone else, as that user.
# - That user must reach the data. DIR/data is used where it does; where it does not (a clone below /root, mode 700), the data lies in
#   a new directory below /var/tmp, and DIR/place says which. Only a directory that holds our marker is ever removed.
# - A socket's path may have 107 bytes. It lies beside the data where it fits, else in a new directory below /tmp.
# - Every connection of a program needs SCRAM and a random password (DIR/password, mode 600), so permissions of sockets and other
#   users on the loopback do not matter. Only the server's own user may become superuser, by `peer`. TCP: 127.0.0.1 only.
set -euo pipefail

fail() { printf 'dev-postgres: %s\n' "$*" >&2; exit 1; }
usage() { printf 'dev-postgres: %s (see --help)\n' "$*" >&2; exit 2; }

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
command=${1:-}
[[ $# -eq 0 ]] || shift
dir=$repository/.dev-postgres wanted_port='' fast=no tcp=no admin=no
while [[ $# -gt 0 ]]; do
  case $1 in
    --dir) dir=${2:?--dir needs a directory}; shift 2 ;;
    --port) wanted_port=${2:?--port needs a number}; shift 2 ;;
    --fast) fast=yes; shift ;;
    --tcp) tcp=yes; shift ;;
    --admin) admin=yes; shift ;;
    --) shift; break ;;
    *) usage "unknown argument $1" ;;
  esac
done
[[ -z $wanted_port || $wanted_port =~ ^[0-9]{1,5}$ ]] || usage "--port needs a number, not $wanted_port"

case $command in
  -h | --help | help) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 0 ;;
  start | restart) mkdir -p "$dir" ;;
  stop | status | url | psql | destroy)
    if [[ ! -d $dir ]]; then
      [[ $command == stop || $command == destroy ]] && exit 0
      [[ $command == status ]] && { echo "no cluster in $dir"; exit 3; }
      fail "no cluster in $dir: dev-postgres.sh start makes one"
    fi ;;
  '') usage "which command?" ;;
  *) usage "unknown command $command" ;;
esac
dir=$(cd "$dir" && pwd -P)

read_state() { [[ ! -r $dir/$1 ]] || cat "$dir/$1"; }
write_state() { (umask 077 && printf '%s\n' "$2" > "$dir/$1.new" && mv "$dir/$1.new" "$dir/$1"); }

find_binaries() {
  local candidate
  for candidate in /usr/lib/postgresql/{15,16,17,18}/bin; do
    [[ ! -x $candidate/initdb ]] || { echo "$candidate"; return; }
  done
  candidate=$(command -v initdb) && dirname "$(readlink -f "$candidate")" && return
  fail "no PostgreSQL server is installed: deploy/install-deps.sh installs it"
}
bin=$(find_binaries)

place=$(read_state place)
if [[ -n $place && -d $place/data ]]; then
  server_user=$(stat -c %U "$place/data")
elif [[ $EUID -ne 0 ]]; then
  server_user=$(id -un)
elif getent passwd postgres > /dev/null; then
  server_user=postgres
else
  server_user=nobody
fi
[[ $EUID -eq 0 || $server_user == "$(id -un)" ]] || fail "the cluster in $dir belongs to $server_user: use sudo, or another --dir"

# Runs a command as the server's user, in a directory that user can be in, without our lock's descriptor.
as_server() {
  if [[ $EUID -eq 0 && $server_user != root ]]; then
    (cd / && exec runuser -u "$server_user" -- env -u PGDATA LC_ALL=C.UTF-8 "$@" 9>&-)
  else
    (cd / && exec env -u PGDATA LC_ALL=C.UTF-8 "$@" 9>&-)
  fi
}

choose_place() {
  mkdir -p "$dir/cluster"
  [[ $EUID -ne 0 ]] || chown "$server_user" "$dir/cluster"
  chmod 700 "$dir/cluster"
  if as_server test -w "$dir/cluster"; then
    place=$dir/cluster
  else
    rmdir "$dir/cluster"
    place=$(as_server mktemp -d /var/tmp/fleet-postgres.XXXXXXXX)
  fi
  as_server touch "$place/fleet-postgres"
  write_state place "$place"
}

# A socket directory is ours while it belongs to the server's user and nobody else may write there.
choose_socket_directory() {
  socket=$(read_state socket)
  if [[ -n $socket && -d $socket && ! -L $socket && $(stat -c '%U %a' "$socket") == "$server_user 700" ]]; then return; fi
  socket=$place/socket
  if ((${#socket} + ${#longest_socket_name} > 107)) || [[ $socket == *[[:space:],\']* ]]; then
    socket=$(as_server mktemp -d /tmp/fleet-postgres.XXXXXXXX)
  else
    as_server mkdir -p -m 700 "$socket"
  fi
  write_state socket "$socket"
}
longest_socket_name=/.s.PGSQL.65535.lock

port_is_free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
# Below the kernel's ephemeral range, so that no outgoing connection of another program sits on it.
choose_port() {
  local attempt
  for attempt in {1..50}; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if port_is_free "$port"; then write_state port "$port"; return; fi
  done
  fail "no free loopback port after $attempt tries: name one with --port"
}

running() { [[ -n $place ]] && as_server test -d "$place/data" && as_server "$bin/pg_ctl" -D "$place/data" status > /dev/null 2>&1; }
ready() { "$bin/pg_isready" -q -h "$socket" -p "$port" -d postgres -t 2; }

make_cluster() {
  local conf=$place/data/postgresql.conf
  as_server "$bin/initdb" -D "$place/data" -U postgres --encoding=UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 \
    > "$dir/initdb.log" 2>&1 || { tail -n 20 "$dir/initdb.log" >&2; fail "initdb failed (above; whole log: $dir/initdb.log)"; }
  as_server tee "$place/data/pg_hba.conf" > /dev/null <<< "local all postgres peer map=owner
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256"
  as_server tee "$place/data/pg_ident.conf" > /dev/null <<< "owner $server_user postgres"
  as_server tee "$place/data/fleet.conf" > /dev/null <<< "# Written by dev-postgres.sh: a small machine, many idle connections (three agents, a coordinator, tests).
listen_addresses = '127.0.0.1'
unix_socket_permissions = 0777   # its directory is 0700, and SCRAM decides
max_connections = 250
shared_buffers = 64MB
max_wal_size = 512MB
max_parallel_workers_per_gather = 0
jit = off
autovacuum_naptime = 15s
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d/%a '"
  as_server tee -a "$conf" > /dev/null <<< "include 'fleet.conf'"
  if [[ $fast == yes ]]; then
    as_server tee -a "$place/data/fleet.conf" > /dev/null <<< "fsync = off
synchronous_commit = off
full_page_writes = off"
  fi
}

make_role() {
  local password
  password=$(read_state password)
  if [[ -z $password ]]; then
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    write_state password "$password"
  fi
  # The password goes over standard input: a process list shows arguments. CREATEDB and CREATEROLE: tests make their own of both.
  as_server "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$socket" -p "$port" -U postgres -d postgres > /dev/null <<< "
set client_min_messages = warning;
select 'create role fleet' where not exists (select from pg_roles where rolname = 'fleet') \\gexec
alter role fleet login createdb createrole password '$password';
grant pg_monitor, pg_signal_backend to fleet with admin option;
select 'create database fleet owner fleet' where not exists (select from pg_database where datname = 'fleet') \\gexec
" || fail "could not make role and database fleet"
}

start_server() {
  local attempt last_lines
  for attempt in {1..5}; do
    # The server runs in a session of its own (pg_ctl sees to that), so Ctrl-C in this terminal does not reach it.
    if as_server "$bin/pg_ctl" -D "$place/data" -w -t 60 -l "$place/log" -o "-p $port -k '$socket'" start > "$dir/start.log" 2>&1 < /dev/null; then
      return
    fi
    last_lines=$(as_server tail -n 5 "$place/log" 2> /dev/null || true)
    if [[ $last_lines == *postmaster.pid*'already exists'* ]]; then
      sleep 1 # a killed server that nobody has reaped yet still looks alive
    elif [[ $last_lines == *'Address already in use'* ]]; then
      [[ -z $wanted_port ]] || fail "port $port is taken"
      choose_port
    else
      break
    fi
  done
  as_server tail -n 20 "$place/log" >&2 || cat "$dir/start.log" >&2
  fail "the server did not start after $attempt tries (its last lines are above; log: $place/log)"
}

start() {
  socket=$(read_state socket) port=$(read_state port)
  if running && [[ -n $socket && -n $port && ( -z $wanted_port || $wanted_port == "$port" ) ]] && ready; then return; fi
  if running; then stop; fi
  if [[ -z $place ]] || ! as_server test -e "$place/fleet-postgres"; then choose_place; fi
  # A cluster whose making was interrupted has no fleet.conf, or no PG_VERSION: make it afresh. Nothing of value is in it.
  if ! as_server grep -qs "include 'fleet.conf'" "$place/data/postgresql.conf"; then
    as_server rm -rf "$place/data"
    make_cluster
  fi
  choose_socket_directory
  if [[ -n $wanted_port ]]; then
    port=$wanted_port
    write_state port "$port"
  elif [[ -z $port ]] || ! port_is_free "$port"; then
    choose_port
  fi
  start_server
  local waited
  for waited in {1..120}; do
    if ready; then make_role; return; fi
    sleep 0.25
  done
  fail "the server does not answer on $socket port $port after $((waited / 4)) s (log: $place/log)"
}

stop() {
  running || return 0
  as_server "$bin/pg_ctl" -D "$place/data" -m fast -w -t 60 stop > /dev/null 2>&1 ||
    as_server "$bin/pg_ctl" -D "$place/data" -m immediate -w -t 20 stop > /dev/null 2>&1 || ! running ||
    fail "the server in $place did not stop"
}

destroy() {
  stop
  local socket
  socket=$(read_state socket)
  if [[ -n $place ]] && as_server test -e "$place/fleet-postgres"; then
    if [[ $socket == /tmp/fleet-postgres.* ]]; then as_server rm -rf "$socket"; fi
    if [[ $place == /var/tmp/* ]]; then as_server rm -rf "$place"; else rm -rf "$place"; fi
  fi
  (cd "$dir" && rm -f place socket port password initdb.log start.log lock)
  rmdir --ignore-fail-on-non-empty "$dir"
}

read_login() {
  socket=$(read_state socket) port=$(read_state port) password=$(read_state password)
  [[ -n $password ]] || fail "no cluster in $dir: dev-postgres.sh start makes one"
}
print_url() {
  read_login
  if [[ $tcp == yes ]]; then
    echo "postgresql://fleet:$password@127.0.0.1:$port/fleet"
  else
    echo "postgresql://fleet:$password@/fleet?host=${socket//\//%2F}&port=$port"
  fi
}

# Two starts at once (two tests, two terminals) must make one cluster.
locked() {
  exec 9> "$dir/lock"
  flock -w 120 9 || fail "another dev-postgres.sh is at work in $dir for over 120 s"
  place=$(read_state place)
  "$@"
}

case $command in
  start) locked start ;;
  stop) locked stop ;;
  restart)
    locked stop
    start ;;
  destroy) locked destroy ;;
  url) print_url ;;
  status)
    if running; then
      echo "running: data $place/data, socket $(read_state socket), 127.0.0.1:$(read_state port), server user $server_user, log $place/log"
    else
      echo "not running${place:+: data $place/data}"
      exit 3
    fi ;;
  psql)
    if [[ $admin == yes ]]; then
      as_server "$bin/psql" -h "$(read_state socket)" -p "$(read_state port)" -U postgres "$@"
    else
      read_login
      [[ $tcp == no ]] || socket=127.0.0.1
      # In the environment, which other users cannot read; arguments they can.
      unset PGSERVICE PGHOSTADDR
      export PGHOST=$socket PGPORT=$port PGUSER=fleet PGDATABASE=fleet PGPASSWORD=$password
      exec "$bin/psql" "$@"
    fi ;;
esac
