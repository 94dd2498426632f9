# Builds, configures, starts and stops the quickstart's fleet. Sourced by quickstart.sh.
# shellcheck shell=bash

bin=$root/build/bin
listen=$(cat "$home/listen" 2> /dev/null || echo 127.0.0.1:4001)

build() {
  cmake --preset release && cmake --build --preset release --target singularity_agent centralcloud_daemon
}

database_url() { ./deploy/dev-postgres.sh url --dir "$home/postgres"; }

make_schema() {
  ./deploy/dev-postgres.sh psql --admin --dir "$home/postgres" -- -X -q -v ON_ERROR_STOP=1 -d postgres \
    -c 'drop database if exists fleet with (force)' -c 'create database fleet owner fleet' &&
    PGFLOW_DATABASE_URL=$(database_url) "$bin/centralcloud_daemon" migrate
}

# Each daemon logs in as a role of its own: a coordinator is a member of centralcloud, an instance is enrolled. Roles outlive the
# database, so an earlier run may have left them. No password is an argument of a program: every user of the machine can read those.
declare -A url_of
make_roles() {
  local password url id
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  ./deploy/dev-postgres.sh psql --dir "$home/postgres" -- -X -q -v ON_ERROR_STOP=1 << SQL || return 1
set client_min_messages = warning;
select 'create role fleet_coordinator' where not exists (select from pg_roles where rolname = 'fleet_coordinator') \\gexec
alter role fleet_coordinator login password '$password';
grant centralcloud to fleet_coordinator;
SQL
  url=$(database_url) || return 1
  url_of[coordinator]=postgresql://fleet_coordinator:$password@${url#*@}
  for id in "${instances[@]}"; do
    url_of[$id]=$(PGFLOW_DATABASE_URL=$url "$bin/centralcloud_daemon" enroll "$id" --json | jq -er .database_url) || return 1
  done
}

# A configuration names the password of the database: for this user only.
write_private() { (umask 077 && cat > "$1"); }

port_is_free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

make_coordinator() {
  local port=4001
  while ! port_is_free "$port"; do port=$((20000 + RANDOM % 12000)); done
  listen=127.0.0.1:$port
  echo "$listen" > "$home/listen"
  write_private "$home/centralcloud_daemon.ini" << INI
[database]
url = ${url_of[coordinator]}
[http]
listen = $listen
[log]
level = info
format = text
INI
}

# A socket's path may have 107 bytes: in a deep clone it moves below /tmp.
socket_of() {
  local path=$home/$1/agent.sock
  if ((${#path} > 100)); then
    local short
    short=$(cat "$home/sockets" 2> /dev/null || true)
    if [[ -z $short || ! -d $short || ! -O $short ]]; then
      short=$(mktemp -d /tmp/fleet-quickstart.XXXXXXXX)
      echo "$short" > "$home/sockets"
    fi
    path=$short/$1.sock
  fi
  echo "$path"
}

# The repository's own configuration holds all that git needs: nothing depends on who runs this.
own_git() { GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null git -C "$home/$1/repo" "${@:2}"; }

make_instance() {
  local id=$1 folder=$home/$1
  rm -rf "$folder"
  mkdir -p "$folder"
  cp -R "$root/deploy/quickstart/service" "$folder/repo"
  chmod +x "$folder"/repo/*.sh
  own_git "$id" -c init.defaultBranch=main init -q
  own_git "$id" config user.name "quickstart of $id"
  own_git "$id" config user.email "$id@fleet.invalid"
  own_git "$id" config commit.gpgsign false
  # The first commit of the three differs in its message only; its date is that of the run.
  own_git "$id" add -A
  own_git "$id" commit -q -m "Price service of $id"
  write_private "$folder/agent.ini" << INI
[database]
url = ${url_of[$id]}
[instance]
id = $id
[api]
socket = $(socket_of "$id")
[spool]
path = $folder/spool.sqlite
[voter]
mode = policy
[executor]
mode = git
repository = $folder/repo
verify_command = ./check.sh
[metrics]
command = $(printf '%q %q' "$root/deploy/quickstart/measure.sh" "$folder/repo")
interval_ms = 500
# Three instances share this machine: its load says nothing about one of them.
proc = none
[log]
level = info
format = text
INI
}

# start NAME PROGRAM CONFIG: in a session of its own, so that Ctrl-C reaches this script only, which then stops it in order.
start() {
  setsid "$bin/$2" run --config "$3" > "$home/logs/$1.log" 2>&1 < /dev/null 8>&- &
  echo $! > "$home/$1.pid"
}

# Whether the process of NAME still is the one that we started: a pid alone may be another program's by now.
is_ours() {
  local pid
  pid=$(cat "$home/$1.pid" 2> /dev/null) && [[ -r /proc/$pid/cmdline ]] && tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF "$home/"
}

ready_at() { # NAME CURL-ARGUMENTS...: ready, or an error at once where the process ended
  local end=$(($(now_ms) + 30000)) name=$1
  shift
  until curl -fsS -m 2 -o /dev/null "$@"; do
    is_ours "$name" || { tail -n 20 "$home/logs/$name.log"; return 1; }
    (($(now_ms) < end)) || { curl -sS -m 2 "$@"; return 1; }
    sleep 0.05
  done
}

start_coordinator() {
  start centralcloud_daemon centralcloud_daemon "$home/centralcloud_daemon.ini"
  ready_at centralcloud_daemon "http://$listen/readyz"
}

start_agent() {
  start "$1" singularity_agent "$home/$1/agent.ini"
  ready_at "$1" --unix-socket "$(socket_of "$1")" http://agent/readyz
}

coordinator_get() { curl -fsS -m 5 "http://$listen$1"; }
agent_get() { curl -fsS -m 5 --unix-socket "$(socket_of "$1")" "http://agent$2"; }
# agent INSTANCE SUBCOMMAND ARGUMENTS...: the command line of a running agent.
agent() { "$bin/singularity_agent" "$2" --config "$home/$1/agent.ini" "${@:3}"; }

instances_known() {
  [[ $(coordinator_get /v1/instances | jq '[.. | objects | .instance_id? // empty] | unique | length') -ge ${#instances[@]} ]]
}
wait_for_instances() { wait_until 30 instances_known; }

fleet_runs() {
  local name
  for name in centralcloud_daemon "${instances[@]}"; do is_ours "$name" || return 1; done
}

fleet_status() {
  local name code=0
  for name in centralcloud_daemon "${instances[@]}"; do
    if is_ours "$name"; then echo "$name runs (pid $(cat "$home/$name.pid"))"; else echo "$name does not run"; code=3; fi
  done
  ./deploy/dev-postgres.sh status --dir "$home/postgres" || code=3
  [[ $code -ne 0 ]] || echo "coordinator: http://$listen/"
  return $code
}

# Agents first: what they still send finds its coordinator. Each drains by itself; one that does not is killed.
stop_fleet() {
  local name end
  for name in "${instances[@]}" centralcloud_daemon; do
    if is_ours "$name"; then kill -TERM "$(cat "$home/$name.pid")" 2> /dev/null || true; fi
  done
  end=$(($(now_ms) + 15000))
  for name in "${instances[@]}" centralcloud_daemon; do
    while is_ours "$name" && (($(now_ms) < end)); do sleep 0.05; done
    if is_ours "$name"; then kill -KILL "$(cat "$home/$name.pid")" 2> /dev/null || true; fi
    rm -f "$home/$name.pid"
  done
  ./deploy/dev-postgres.sh stop --dir "$home/postgres"
}
