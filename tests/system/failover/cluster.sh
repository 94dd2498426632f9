# A Patroni cluster of two PostgreSQL nodes with etcd, on loopback, in $work. Sourced by run.sh.
# shellcheck shell=bash

pg_bin=/usr/lib/postgresql/15/bin
nodes=(one two)
declare -A pg_port api_port patroni_pid
superuser_password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')

# PostgreSQL refuses root. The signal comes when this shell is gone, however it went: patroni then stops its server.
as_user=(setpriv --pdeathsig TERM)
if [[ $EUID -eq 0 ]]; then as_user+=(--reuid=postgres --regid=postgres --clear-groups); fi

free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)) && (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do :; done
  echo "$port"
}

start_etcd() {
  etcd_port=$(free_port)
  local peer
  peer=$(free_port)
  "${as_user[@]}" etcd --name one --data-dir "$work/etcd" --log-level warn \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "one=http://127.0.0.1:$peer" > "$work/etcd.log" 2>&1 &
  etcd_pid=$!
  disown
}

# The blocks of deploy/high_availability.md in one language.
blocks_of() { awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } /^```$/ { on = 0 } on' "$root/deploy/high_availability.md"; }

# With what deploy/high_availability.md has, word for word; beside it memory, places, and one etcd instead of three.
write_node() {
  local node=$1
  pg_port[$node]=$(free_port) api_port[$node]=$(free_port)
  # Readable by the server's user, who is another where root runs this; $work itself is private.
  cat > "$work/$node.yml" << YML
scope: fleet
name: $node
restapi: {listen: '127.0.0.1:${api_port[$node]}', connect_address: '127.0.0.1:${api_port[$node]}'}
etcd3: {host: '127.0.0.1:$etcd_port'}
$(blocks_of yaml)
  initdb: [{encoding: UTF8}, {locale: C.UTF-8}, data-checksums]
postgresql:
  listen: '127.0.0.1:${pg_port[$node]}'
  connect_address: '127.0.0.1:${pg_port[$node]}'
  data_dir: $work/data-$node
  bin_dir: $pg_bin
  pgpass: $work/pgpass-$node
  parameters: {unix_socket_directories: '$work', shared_buffers: 64MB, wal_keep_size: 256MB}
  pg_hba: ['host all all 127.0.0.1/32 scram-sha-256', 'host replication all 127.0.0.1/32 scram-sha-256', 'local all all scram-sha-256']
  authentication:
    superuser: {username: postgres, password: $superuser_password}
    replication: {username: replicator, password: $superuser_password}
    rewind: {username: rewinder, password: $superuser_password}
YML
}

start_node() {
  "${as_user[@]}" patroni "$work/$1.yml" >> "$work/patroni-$1.log" 2>&1 &
  patroni_pid[$1]=$!
  disown # no message of the shell about its end
}

# cluster_has ROLE STATE: some member has it. The answer comes from whichever node's patroni is alive.
members() {
  local node
  for node in "${nodes[@]}"; do
    curl -fsS -m 2 "http://127.0.0.1:${api_port[$node]}/cluster" 2> /dev/null && return
  done
  return 1
}
member_with() { members | jq -er --arg role "$1" 'first(.members[] | select(.role == $role and .state == "running") | .name)'; }
standby() { member_with sync_standby; }
both_in_sync() { member_with leader > /dev/null && standby > /dev/null; }
led_by() { [[ $(member_with leader) == "$1" ]] && both_in_sync; }
timeline() { members | jq -r '.members[] | select(.role == "leader") | .timeline'; }

start_cluster() {
  if [[ $EUID -eq 0 ]]; then chown -R postgres: "$work"; fi
  start_etcd
  local node
  for node in "${nodes[@]}"; do write_node "$node"; done
  start_node one
  wait_until 40 member_with leader || return 1
  start_node two
  wait_until 40 both_in_sync
}

# As in a power failure: patroni, then the postmaster and all its children, before any of them can react.
kill_node() {
  local postmaster children
  postmaster=$(head -n 1 "$work/data-$1/postmaster.pid")
  kill -STOP "${patroni_pid[$1]}" "$postmaster"
  children=$(pgrep -P "$postmaster" | tr '\n' ' ')
  # shellcheck disable=SC2086 # a list of numbers
  kill -KILL "${patroni_pid[$1]}" "$postmaster" $children
}

stop_cluster() {
  local node postmaster
  for node in "${nodes[@]}"; do
    [[ -z ${patroni_pid[$node]:-} ]] || kill -TERM "${patroni_pid[$node]}" 2> /dev/null || true
  done
  for node in "${nodes[@]}"; do
    postmaster=$(head -n 1 "$work/data-$node/postmaster.pid" 2> /dev/null) || continue
    wait_until 15 gone "$postmaster" || kill -QUIT "$postmaster" 2> /dev/null || true
  done
  [[ -z ${etcd_pid:-} ]] || kill -TERM "$etcd_pid" 2> /dev/null || true
}
gone() { ! kill -0 "$1" 2> /dev/null; }

# Both nodes; libpq goes to the one that takes writes. The password, one for all, is in the environment and in no argument.
url_of() { # user, database
  echo "postgresql://$1@127.0.0.1:${pg_port[one]},127.0.0.1:${pg_port[two]}/$2?target_session_attrs=read-write&connect_timeout=2"
}
