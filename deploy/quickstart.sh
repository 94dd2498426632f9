#!/usr/bin/env bash
# The whole fleet on this machine, and its main job shown live: three instances, each with a small real git repository.
#   quickstart.sh            install, build, start, show three changes, then run until Ctrl-C
#     --once                 end after the story; exit 1 where any step of it did not happen
#     --keep                 leave the fleet running in the background; --stop ends it, --status says what runs
# Everything lies in .quickstart/ (a private PostgreSQL, repositories, configuration, logs). A start begins afresh: it ends a fleet that
# an earlier run left, and clears that fleet's database and repositories. Nothing else on the machine is touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
home=$root/.quickstart
instances=(alpha beta gamma)
mode=stay
case ${1:-} in
  '') ;;
  --once) mode=once ;;
  --keep) mode=keep ;;
  --stop) mode=stop ;;
  --status) mode=status ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "quickstart: unknown argument $1 (see --help)" >&2; exit 2 ;;
esac

# shellcheck source=deploy/quickstart/output.sh
source deploy/quickstart/output.sh
# shellcheck source=deploy/quickstart/fleet.sh
source deploy/quickstart/fleet.sh
# shellcheck source=deploy/quickstart/stories.sh
source deploy/quickstart/stories.sh

# The environment is stronger than our configuration files; a caller's settings must not reach this fleet.
for variable in "${!PGFLOW_@}" INSTANCE_ID "${!PG@}" "${!GIT_@}"; do unset "$variable"; done

case $mode in
  stop) stop_fleet; exit 0 ;;
  status) fleet_status; exit ;;
esac

mkdir -p "$home/logs" 2> /dev/null && [[ -w $home && -w $home/logs ]] ||
  { echo "quickstart: $home belongs to another user: use sudo, or remove it" >&2; exit 1; }
exec 8> "$home/lock"
flock -n 8 || { echo "quickstart: another quickstart.sh is at work here" >&2; exit 1; }

finished=no
at_exit() {
  local code=$?
  trap - EXIT INT TERM HUP
  if [[ $finished == no ]]; then show_logs; fi
  if [[ $mode != keep || $finished == no ]]; then stop_fleet; fi
  exit "$code"
}
trap at_exit EXIT
interrupted() { finished=yes mode=stay; echo; exit 130; }
trap interrupted INT TERM HUP

title "Set-up"
step "packages" ./deploy/install-deps.sh
step "build (minutes the first time)" build
step "end what an earlier run left" stop_fleet
step "private PostgreSQL" ./deploy/dev-postgres.sh start --dir "$home/postgres"
step "empty database, schema" make_schema
step "a database role for each daemon" make_roles
for id in "${instances[@]}"; do make_instance "$id"; done
make_coordinator
step "coordinator" start_coordinator
for id in "${instances[@]}"; do step "agent $id" start_agent "$id"; done
step "all three known to the coordinator" wait_for_instances

good_change
harmful_change
poor_change

finished=yes
title "Done: three changes, three ends, in $(elapsed "$script_started")"
if [[ $mode == once ]]; then exit 0; fi
cat << TEXT
  dashboard   http://$listen/
  API         http://$listen/v1/proposals (also /v1/queues, /v1/instances, /v1/alerts, /metrics)
  logs        $home/logs
  your own    build/bin/singularity_agent propose FILE --wait --config .quickstart/alpha/agent.ini
TEXT
if [[ $mode == keep ]]; then
  echo "  end it      deploy/quickstart.sh --stop"
  exit 0
fi
echo "  Ctrl-C ends everything."
trap 'echo; exit 0' INT TERM HUP
while fleet_runs; do sleep 1 & wait $! || true; done
finished=no
echo "quickstart: a daemon ended by itself" >&2
exit 1
