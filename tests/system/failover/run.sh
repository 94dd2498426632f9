#!/usr/bin/env bash
# Kills the primary of a real two-node Patroni cluster (etcd, synchronous replication) under a real fleet, then has it lead again by a planned
# switchover, and shows that every acknowledged publish is there once and each accepted proposal is decided and applied once. Prints how long
# writes were away each time.
#   tests/system/failover/run.sh      about 2 minutes; works as root (the servers then run as postgres) or as a user
# Needs build/bin (or FLEET_BIN_DIR) and `deploy/install-deps.sh --failover`. All on loopback, in a directory of its own.
# Last line: the checks, counted as tests/run.sh counts cases; exit 1 where one failed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
bin=${FLEET_BIN_DIR:-$root/build/bin}
here=$root/tests/system/failover
for variable in "${!PGFLOW_@}" INSTANCE_ID "${!PG@}" "${!GIT_@}"; do unset "$variable"; done
export LC_ALL=C.UTF-8 TZ=UTC GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

before_kill=10 after_return=10 after_switchover=5

"$root/deploy/install-deps.sh" --failover
work=$(mktemp -d "${TMPDIR:-/tmp}/fleet-failover.XXXXXXXX")
cd "$work" # a directory that the servers' user may enter

now_ms() { local t=${EPOCHREALTIME//[.,]/}; echo $((t / 1000)); }
begun=$(now_ms)
say() { printf '%5d s  %s\n' $((($(now_ms) - begun) / 1000)) "$*"; }
wait_until() { # seconds, command...
  local end=$(($(now_ms) + $1 * 1000))
  shift
  until "$@" > /dev/null 2>&1; do
    (($(now_ms) < end)) || return 1
    sleep 0.1
  done
}
# shellcheck source=tests/system/failover/cluster.sh
. "$here/cluster.sh"
# shellcheck source=tests/system/failover/fleet.sh
. "$here/fleet.sh"

loads=()
clean_up() {
  touch "$work/stop"
  [[ ${#loads[@]} -eq 0 ]] || wait "${loads[@]}" 2> /dev/null || true
  stop_fleet
  stop_cluster
  wait_until 10 gone "${etcd_pid:-0}" || true
  [[ -n ${FLEET_KEEP:-} ]] && say "kept: $work" || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
  echo "FAILED: $*" >&2
  tail -n 15 "$work"/*.log "$work"/*/agent.log >&2 2> /dev/null || true
  echo "test cases: 1 | 0 passed | 1 failed"
  exit 1
}

passed=0 failed=0
check() { # what, found, expected
  if [[ $2 == "$3" ]]; then
    passed=$((passed + 1))
    printf '  ok      %-64s %s\n' "$1" "$2"
  else
    failed=$((failed + 1))
    printf '  FAILED  %-64s %s, expected %s\n' "$1" "$2" "$3"
  fi
}

say "starting etcd and two PostgreSQL nodes under Patroni"
start_cluster || fail "the cluster did not come up"
say "leader $(member_with leader), synchronous standby $(standby)"
make_database > "$work/database.log" 2>&1 || fail "the schema was not made"
start_fleet || fail "the fleet did not get ready"
say "a coordinator and ${#instances[@]} agents are ready; loading them for $before_kill s"
touch "$work/acknowledged" "$work/accepted"
publish_all_the_time &
loads+=($!)
propose_all_the_time &
loads+=($!)
sleep "$before_kill"

old=$(member_with leader) old_timeline=$(timeline)
killed_at=$(now_ms)
kill_node "$old"
say "killed the primary $old (patroni and postgres, kill -9)"
writable() { [[ $(tail -n 1 "$work/acknowledged" | cut -d' ' -f2) -gt $((killed_at + 500)) ]]; }
wait_until 90 writable || fail "no write was acknowledged within 90 s"
other=$(member_with leader)
say "writes are acknowledged again by $other"
sleep "$after_return"
start_node "$old"
wait_until 60 both_in_sync || say "the old primary did not come back as a standby within 60 s"
back=$(standby || true)

# The page's command, but for where the node's configuration lies.
switched_at=$(now_ms)
switchover=$(blocks_of sh | sed "s#/etc/patroni/15-main.yml#$work/$old.yml#")
bash -ec "$switchover" > "$work/switchover.log" 2>&1 || say "the switchover failed: $(tail -n 3 "$work/switchover.log")"
wait_until 60 led_by "$old" || say "no switchover within 60 s"
say "switched over to $(member_with leader)"
sleep "$after_switchover"
touch "$work/stop"
wait "${loads[@]}"
say "the load has ended; waiting for what is under way"
wait_until 90 all_applied || say "not all accepted proposals are applied within 90 s"

echo
longest_between() { # from, to: seconds without an acknowledged publish
  awk -v from="$1" -v to="$2" '$2 > from && last && last < to && $2 - last > most { most = $2 - last } { last = $2 } END { printf "%.1f", most / 1000 }' "$work/acknowledged"
}
sql "select (payload ->> 'n')::int from quantumflow.take('learning_loop_completed_queue', 'failover', 10000)" | sort -n > "$work/there"
cut -d' ' -f1 "$work/acknowledged" | sort -n > "$work/promised"
accepted=$(wc -l < "$work/accepted")
spooled=$(grep -c ' 202$' "$work/accepted" || true)
decided="select count(*) || ' ' || count(distinct proposal_id) from"
echo "write outage: $(longest_between "$killed_at" "$switched_at") s without an acknowledged publish after the kill, $(longest_between "$switched_at" "$(now_ms)") s at the switchover"
echo "acknowledged publishes: $(wc -l < "$work/promised"), committed ones whose reply was lost: $(comm -13 <(sort "$work/promised") <(sort "$work/there") | wc -l)"
echo "accepted proposals: $accepted, of them $spooled kept in the agents' spools while the database was away"
check "another node led after the kill" "$other" "$([[ $old == one ]] && echo two || echo one)"
check "the old primary came back as the standby" "$back" "$old"
check "the switchover made it lead again, two timelines on" "$(member_with leader) $(($(timeline) - old_timeline))" "$old 2"
check "acknowledged publishes that are missing" "$(comm -23 <(sort "$work/promised") <(sort "$work/there") | wc -l)" 0
check "publishes that are there twice" "$(uniq -d "$work/there" | wc -l)" 0
check "decisions, proposals decided" "$(sql "$decided centralcloud.decision")" "$accepted $accepted"
check "applied steps, proposals applied" "$(sql "$decided singularity.proposal_step where to_state = 'applied'")" "$accepted $accepted"
commits=$(for id in "${instances[@]}"; do git -C "$work/$id/repo" log --format='%(trailers:key=Proposal-Id,valueonly)'; done | grep . | sort)
check "accepted proposals with exactly one commit" "$(comm -12 <(cut -d' ' -f1 "$work/accepted" | sort) <(uniq -u <<< "$commits") | wc -l)" "$accepted"
check "commits" "$(wc -l <<< "$commits")" "$accepted"
check "dead letters" "$(sql 'select count(*) from quantumflow.list_dlq_messages()')" 0
alive=0
for name in "${!daemon_pid[@]}"; do if kill -0 "${daemon_pid[$name]}" 2> /dev/null; then alive=$((alive + 1)); fi; done
check "daemons that never stopped" "$alive" 4
say "done"
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[[ $failed -eq 0 ]]
