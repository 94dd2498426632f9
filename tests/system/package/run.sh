#!/usr/bin/env bash
# The Debian package and the pages, tried as an operator would: on a Debian 12 of its own, booted by systemd, the package is installed, the
# commands of deploy/README.md, runbook.md and monitoring.md are typed in their order, units are tried, the fleet is upgraded to a next release
# with work under way and taken back to this one, and the package is removed and purged.
# Needs root; the network at the first run, which makes the base system (FLEET_DEBIAN_ROOT, kept). tests/run.sh package runs it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 1
build=${FLEET_BIN_DIR:-$PWD/build/bin}/..
# shellcheck source=tests/system/package/machine.sh
source tests/system/package/machine.sh
# shellcheck source=tests/system/package/upgrade.sh
source tests/system/package/upgrade.sh

# shellcheck source=tests/support/cases.sh
source tests/support/cases.sh
finish() {
  remove_machine
  summary
}
give_up() { echo "FAILED $1"; failed=$((failed + 1)); exit 1; }
trap 'finish; exit' EXIT

[[ $EUID -eq 0 ]] || give_up "only root can boot a machine"
(cd "$build" && rm -f fleet-control_*.deb && cpack -G DEB) > /dev/null || give_up "cpack"
package=$(ls "$build"/fleet-control_*.deb)
version=$(dpkg-deb -f "$package" Version)
make_base "$package" > "$base.log" 2>&1 || { tail -n 20 "$base.log"; give_up "the base system could not be made, log: $base.log"; }
next=$(make_next_release) || give_up "no next release: $next"
make_machine || give_up "no machine"
mkdir "$machine/root/root/new"
cp "$package" "$machine/root/root/"
# For the page's upgrade: the same in everything but its version.
make_package 0.2.0 "$build" "$machine/root/root/new" > "$build/cpack.log" 2>&1 || give_up "cpack, log: $build/cpack.log"
boot || give_up "the machine did not boot"

# Commands of a page: its blocks marked sh, in their order; only those under a heading, and of them only the nth, where that is asked for.
commands_of() { # page [heading [n]]
  awk -v heading="# ${2:-}" -v only="${3:-0}" '
    !on && /^# / { here = (heading == "# " || $0 == heading) }
    /^```sh$/ { on = 1; n += here; next }
    /^```$/ { on = 0 }
    on && here && (only == 0 || n == only)' "$1"
}
# As one script that stops at the first command that fails, each shown before it runs; from a file, so that none of them can swallow the rest.
type_commands() {
  local commands
  commands=$(cat)
  [[ -n $commands ]] || { echo "there are no commands"; return 1; }
  { echo 'set -euo pipefail; PATH=/run/watch:$PATH PS4="> "; set -x'; printf '%s\n' "$commands" 'echo "the page ends here"'; } > "$machine/root/root/page.sh"
  inside bash -c 'bash /root/page.sh < /dev/null | tee /root/page.out; (( PIPESTATUS[0] == 0 )) && tail -n 1 /root/page.out | grep -qx "the page ends here"' && return 0
  inside journalctl -u centralcloud_daemon -u 'singularity_agent@*' -n 30 --no-pager
  return 1
}
type_page() { commands_of "$1" | type_commands; }

# The programs that pages type, each behind one that looks at its arguments first, as every user of a machine can. Passwords that are made here
# have 48 hexadecimal digits.
watch_arguments() {
  local program
  inside mkdir -p /run/watch && inside tee /run/watch/.look > /dev/null << 'SCRIPT' || return 1
#!/bin/bash
program=${0##*/}
echo "$program" >> /run/watch/seen
[[ ! " $* " =~ [^0-9a-f][0-9a-f]{48}[^0-9a-f] ]] || echo "$program ${*//[0-9a-f][0-9a-f][0-9a-f][0-9a-f]/....}" >> /run/watch/exposed
exec "$(PATH=/usr/sbin:/usr/bin command -v "$program")" "$@"
SCRIPT
  inside touch /run/watch/seen /run/watch/exposed && inside chmod 666 /run/watch/seen /run/watch/exposed && inside chmod 755 /run/watch/.look || return 1
  for program in psql pg_dump pg_restore createdb dropdb centralcloud_daemon singularity_agent runuser sh env sed jq curl cat tee; do
    inside ln -s .look "/run/watch/$program" || return 1
  done
  # It would notice.
  inside /run/watch/cat /dev/null "--file=$(printf '%048d' 7)" 2> /dev/null
  inside test -s /run/watch/exposed && inside truncate -s 0 /run/watch/exposed /run/watch/seen
}
no_password_was_an_argument() {
  local program
  for program in psql pg_dump centralcloud_daemon singularity_agent; do
    inside grep -qx "$program" /run/watch/seen || { echo "nobody watched $program"; return 1; }
  done
  ! inside grep . /run/watch/exposed
}

every_file() { inside find / -xdev -not -path '/proc/*' -not -path '/tmp/*' -not -path '/root/*' -not -path '/var/log/*' -not -path '/run/*' \
  -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*' -not -path '/var/cache/*' -not -path '/var/lib/postgresql/*' -not -path '/sys/*' \
  -not -path '/dev/*' | LC_ALL=C sort; }

nothing_is_enabled() {
  ! inside pgrep -x 'singularity_age|centralcloud_da' && [[ $(inside systemctl is-enabled centralcloud_daemon) == disabled ]]
}

# As systemd sees it: a process that hangs is replaced, one that is misconfigured is not started again, credentials arrive.
main_pid() { inside systemctl show -P MainPID "$1"; }
wait_for() { # seconds, command...
  local end=$((SECONDS + $1))
  shift
  until "$@"; do ((SECONDS < end)) || return 1; sleep 0.2; done
}
watchdog_replaces_one_that_hangs() {
  inside mkdir -p /run/systemd/system/centralcloud_daemon.service.d
  printf '[Service]\nWatchdogSec=2\n' | inside tee /run/systemd/system/centralcloud_daemon.service.d/short.conf > /dev/null
  inside systemctl daemon-reload && inside systemctl restart centralcloud_daemon || return 1
  local hanging
  hanging=$(main_pid centralcloud_daemon)
  inside kill -STOP "$hanging"
  replaced() { [[ $(main_pid centralcloud_daemon) != "$hanging" ]] && inside systemctl is-active -q centralcloud_daemon; }
  wait_for 30 replaced || { inside systemctl status centralcloud_daemon --no-pager; return 1; }
  inside rm -r /run/systemd/system/centralcloud_daemon.service.d
  inside systemctl daemon-reload && inside systemctl restart centralcloud_daemon
}
wrong_configuration_is_not_retried() {
  inside cp /etc/fleet_control/beta.ini /root/beta.ini
  printf '[log]\nlevle = info\n' | inside tee -a /etc/fleet_control/beta.ini > /dev/null
  ! inside systemctl restart singularity_agent@beta || return 1
  [[ $(inside systemctl show -P ExecMainStatus singularity_agent@beta) == 2 && $(inside systemctl show -P NRestarts singularity_agent@beta) == 0 ]] ||
    { inside systemctl status singularity_agent@beta --no-pager; return 1; }
  inside cp /root/beta.ini /etc/fleet_control/beta.ini
  inside systemctl restart singularity_agent@beta
}
relaxed_as_the_page_says_it_runs() {
  local drop_in=/etc/systemd/system/singularity_agent@beta.service.d
  inside mkdir "$drop_in" /srv/service && inside groupadd --system docker &&
    awk '/^```ini$/ { on = 1; next } /^```$/ { on = 0 } on' deploy/systemd/README.md | inside tee "$drop_in/page.conf" > /dev/null &&
    inside systemctl daemon-reload && inside systemctl restart singularity_agent@beta || return 1
  wait_for 20 inside curl -fsS --unix-socket /run/singularity_agent/beta/agent.sock http://agent/readyz &&
    [[ $(inside systemctl show -P MemoryMax singularity_agent@beta) == $((8 << 30)) ]] || return 1
  inside rm -r "$drop_in" /srv/service && inside groupdel docker && inside systemctl daemon-reload && inside systemctl restart singularity_agent@beta
}
credentials_stay_secret() {
  local pid
  pid=$(main_pid singularity_agent@alpha)
  [[ $(inside stat -c '%a %U' /etc/credstore/singularity_agent.alpha.database_url) == '600 root' ]] || return 1
  ! inside cat "/proc/$pid/environ" "/proc/$pid/cmdline" | tr '\0' '\n' | grep -F 'postgresql://' &&
    inside cat "/proc/$pid/environ" | tr '\0' '\n' | grep -x 'CREDENTIALS_DIRECTORY=/run/credentials/singularity_agent@alpha.service'
}
journal_knows_priorities() {
  local lines
  lines=$(inside journalctl -p warning -u centralcloud_daemon -o cat --no-pager | grep -E '^(warning|info|error) ') || return 1
  grep -q '^warning ' <<< "$lines" && ! grep '^info ' <<< "$lines"
}
database_away_loses_nothing() {
  local answer
  inside systemctl stop postgresql@15-main
  answer=$(inside sh -c 'jq ".proposal_id = \"away-1\" | .code_change.files[\"service.conf\"] = \"greeting = later\n\"" /tmp/proposal.json |
    curl -sS --unix-socket /run/singularity_agent/alpha/agent.sock --json @- http://agent/v1/proposals')
  inside systemctl start postgresql@15-main
  jq -e .spooled <<< "$answer" || { echo "not spooled: $answer"; return 1; }
  # Two voters are left by the page's end: what counts here is that the vote was opened.
  wait_for 40 inside curl -fsS -o /dev/null http://127.0.0.1:4001/v1/proposals/away-1
}

# Its last commands give passwords anew: to an agent and to the coordinator, who go on with them.
type_runbook() {
  local file before
  file=/etc/credstore/singularity_agent.beta.database_url
  before=$(inside sha256sum "$file")
  type_page deploy/runbook.md || return 1
  [[ $(inside sha256sum "$file") != "$before" && $(inside stat -c '%a %U' "$file") == '600 root' ]] || { echo "$file is the old one, or open"; return 1; }
  wait_for 20 inside curl -fsS -o /dev/null --unix-socket /run/singularity_agent/beta/agent.sock http://agent/readyz &&
    wait_for 20 inside curl -fsS -o /dev/null http://127.0.0.1:4001/readyz
}
# As the role that the page makes, by the function that it defines.
operators_have_names() {
  local ann
  ann=$(grep -E '^as_ann\(\)' deploy/README.md) || return 1
  ask_database "select quantumflow.publish('votes_for_consensus_queue', '{\"type\": \"vote\", \"proposal_id\": \"y\"}')"
  becomes_answer "select count(*) > 0 from quantumflow.list_dlq_messages()" t || return 1
  inside bash -euc "$ann
    as_ann centralcloud_daemon dlq purge
    as_ann centralcloud_daemon rollback deployment-test --reason 'a try'" || return 1
  becomes_answer "select string_agg(distinct role || ': ' || action, ', ' order by role || ': ' || action)
    from centralcloud.audit_log where action in ('dlq_purge', 'rollback_trigger') and role = 'ann'" 'ann: dlq_purge, ann: rollback_trigger'
}

before=$(every_file)
check "package: lintian has no error" bash -c 'command -v lintian > /dev/null || exit 0; lintian --fail-on error "$1"' lintian "$package"
check "package: apt-get installs it with what it depends on" inside apt-get install -y "/root/${package##*/}"
check "package: nothing runs and nothing is enabled after it" nothing_is_enabled
check "package: links between the installed pages lead somewhere" tests/links.sh "$machine/root/usr/share/doc/fleet-control" '^(\.\./)?tests/'
check "watch: arguments of the programs that pages type are looked at" watch_arguments
check "page: every command of deploy/README.md" type_page deploy/README.md
check "unit: credentials stand in no environment and no command line" credentials_stay_secret
check "unit: what comes in while the database is away is kept, and goes on" database_away_loses_nothing
check "upgrade: what waits in queues, in an open vote and in a spool" put_work_under_way
check "upgrade: to a release with another schema loses nothing, and each is handled once" upgrade_loses_nothing
check "roll back: the old release refuses the newer schema, and says so" old_release_refuses
check "roll back: with the dump all is as before the upgrade, and each is handled once" dump_brings_back
# Something for the runbook to look at.
inside sh -c 'psql -X -q "$(cat /etc/credstore/fleet_admin.database_url)"' > /dev/null << 'SQL'
select quantumflow.publish('votes_for_consensus_queue', '{"type": "vote", "proposal_id": "x"}') from generate_series(1, 2);
SQL
dead() { inside sh -c "PGFLOW_DATABASE_URL=\$(cat /etc/credstore/centralcloud_daemon.database_url) centralcloud_daemon dlq list --json" | jq -e 'length == 2' > /dev/null; }
check "unit: the journal has warnings as warnings, and only those" journal_knows_priorities
check "a message that can never be right is a dead letter" wait_for 20 dead
check "page: every command of deploy/runbook.md" type_runbook
check "page: every command of deploy/monitoring.md" type_page deploy/monitoring.md
check "page: no password was an argument of what the pages type" no_password_was_an_argument
check "page: what an operator of deploy/README.md does has a name in the audit log" operators_have_names
check "unit: the watchdog replaces a coordinator that hangs" watchdog_replaces_one_that_hangs
check "unit: an agent runs with the drop-in of deploy/systemd/README.md" relaxed_as_the_page_says_it_runs
check "unit: a wrong configuration is told, and not tried again" wrong_configuration_is_not_retried

removed() {
  inside apt-get remove -y fleet-control || return 1
  ! inside pgrep -x 'singularity_age|centralcloud_da' || return 1
  inside test -e /etc/fleet_control/centralcloud_daemon.ini && ! inside test -e /usr/bin/centralcloud_daemon
}
# What an operator made, the user and its state, and links of units that were enabled by hand, are left; and packages that came with ours, where
# another one has use for them.
purged() {
  inside apt-get purge -y --autoremove fleet-control || return 1
  local left
  left=$(comm -13 <(inside sh -c 'cat /var/lib/dpkg/info/*.list' | cat - <(echo "$before") | LC_ALL=C sort -u) <(every_file) |
    grep -vE '^/(etc/(credstore|fleet_control)(/.*)?|var/lib/(private|singularity_agent|centralcloud_daemon)(/.*)?|etc/systemd/system/.*|etc/(passwd|group|shadow|gshadow)-)$')
  [[ -z $left ]] || { echo "left behind: $left"; return 1; }
  ! inside test -e /etc/fleet_control/centralcloud_daemon.ini
}
check "package: removing stops what runs and keeps the configuration" removed
check "package: purging leaves only what is an operator's" purged
