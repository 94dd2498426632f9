# A coordinator and three agents on the cluster, and what loads them. Sourced by run.sh.
# shellcheck shell=bash

instances=(alpha beta gamma)
declare -A daemon_pid

sql() { psql -X -q -At -v ON_ERROR_STOP=1 -d "$coordinator" -c "$1"; }

make_database() {
  local admin
  export PGPASSWORD=$superuser_password
  admin=$(url_of postgres postgres)
  owner=$(url_of postgres fleet)
  coordinator=$(url_of coordinator fleet)
  psql -X -q -v ON_ERROR_STOP=1 -d "$admin" -c 'create database fleet' &&
    PGFLOW_DATABASE_URL=$owner "$bin/centralcloud_daemon" migrate &&
    psql -X -q -v ON_ERROR_STOP=1 -d "$owner" <<< "create role coordinator login password '$superuser_password' in role centralcloud" &&
    sql "select quantumflow.subscribe('learning_loop_completed_queue', 'failover')"
}

start_coordinator() {
  listen=127.0.0.1:$(free_port)
  # Longer than the outage: no vote may end by its deadline while nobody can cast one.
  cat > "$work/coordinator.ini" << INI
[database]
url = ${coordinator/@/:$superuser_password@}
[http]
listen = $listen
[consensus]
voting_timeout_ms = 120000
INI
  "$bin/centralcloud_daemon" run --config "$work/coordinator.ini" > "$work/coordinator.log" 2>&1 &
  daemon_pid[coordinator]=$!
  disown
}

start_agent() {
  local id=$1 folder=$work/$1 url
  url=$(PGFLOW_DATABASE_URL=$owner "$bin/centralcloud_daemon" enroll "$id" --json | jq -er .database_url) || return 1
  mkdir -p "$folder/repo"
  echo first > "$folder/repo/service.conf"
  git -C "$folder/repo" init -q -b main && git -C "$folder/repo" add -A &&
    git -C "$folder/repo" -c user.name=Test -c user.email=test@localhost commit -q -m first || return 1
  cat > "$folder/agent.ini" << INI
[database]
url = $url
[instance]
id = $id
[api]
socket = $folder/agent.sock
[executor]
mode = git
repository = $folder/repo
[metrics]
proc = none
INI
  "$bin/singularity_agent" run --config "$folder/agent.ini" > "$folder/agent.log" 2>&1 &
  daemon_pid[$id]=$!
  disown
}

fleet_ready() {
  local id
  curl -fsS -m 2 -o /dev/null "http://$listen/readyz" || return 1
  for id in "${instances[@]}"; do
    curl -fsS -m 2 -o /dev/null --unix-socket "$work/$id/agent.sock" http://agent/readyz || return 1
  done
  [[ $(sql 'select count(*) from centralcloud.instance') -eq ${#instances[@]} ]]
}

start_fleet() {
  local id
  start_coordinator
  for id in "${instances[@]}"; do start_agent "$id" || return 1; done
  wait_until 30 fleet_ready
}

# One publish after the other; acknowledged ones are written down with the time of the acknowledgement.
publish_all_the_time() {
  local n=0
  while [[ ! -e $work/stop ]]; do
    n=$((n + 1))
    if sql "select quantumflow.publish('learning_loop_completed_queue', '{\"n\": $n}')" > /dev/null 2>> "$work/publish.log"; then
      echo "$n $(now_ms)" >> "$work/acknowledged"
    fi
    sleep 0.05
  done
}

propose_all_the_time() {
  local n=0 id status
  while [[ ! -e $work/stop ]]; do
    id=${instances[n % ${#instances[@]}]}
    n=$((n + 1))
    status=$(jq -nc --arg id "failover-$n" '{proposal_id: $id, agent_type: "OptimizationAgent", impact_score: 8, risk_score: 2,
        safety_profile: {error_threshold: 0.1}, code_change: {files: {"\($id).txt": "x\n"}}}' |
      curl -sS -m 10 -o /dev/null -w '%{http_code}' --unix-socket "$work/$id/agent.sock" -d @- http://agent/v1/proposals 2>> "$work/propose.log")
    if [[ $status == 201 || $status == 202 ]]; then echo "failover-$n $status" >> "$work/accepted"; fi
    sleep 0.4
  done
}

all_applied() { [[ $(sql "select count(*) from singularity.proposal where status = 'applied'") -eq $(wc -l < "$work/accepted") ]]; }

stop_fleet() {
  local name
  for name in "${!daemon_pid[@]}"; do kill -KILL "${daemon_pid[$name]}" 2> /dev/null || true; done
}
