#!/usr/bin/env bash
# The root page as somebody new follows it: the fleet that quickstart.sh starts, the page's commands as they stand, and the end of all of it.
# In the tree's own .quickstart, as anybody would; a fleet that runs there already is somebody's, and stays.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

# shellcheck source=tests/support/cases.sh
source tests/support/cases.sh
ours=no watch=$(mktemp -d)
finish() {
  stop_watching
  rm -rf "$watch"
  [[ $ours == no ]] || ./deploy/quickstart.sh --stop > /dev/null 2>&1
  summary
}
trap 'finish; exit' EXIT
trap 'exit 130' INT TERM

if ./deploy/quickstart.sh --status > /dev/null 2>&1; then
  echo "FAILED a fleet of deploy/quickstart.sh runs here: end it with --stop"
  failed=1
  exit 1
fi
ours=yes

# What every user of the machine can see: the arguments of all processes, looked at all the time. A password that the set-up makes is 32 or 48
# hexadecimal digits in a URL. One that is there for less than a few milliseconds is left to tests/support/passwords.sh.
watch_arguments() {
  local shown
  while [[ ! -e $watch/end ]]; do
    shown=$(grep -aohE '[^[:cntrl:]]*//[a-z_]+:[0-9a-f]{32,48}@' /proc/[0-9]*/cmdline 2> /dev/null) && sed -E 's/[0-9a-f]{32,}/…/g' <<< "$shown" >> "$watch/shown"
    sleep 0.01
  done
}
stop_watching() {
  touch "$watch/end"
  [[ -z ${watcher:-} ]] || wait "$watcher" 2> /dev/null
  watcher=''
}
# A process of the test's own is seen: without that the check could find nothing, and nobody would notice.
watching_works() {
  bash -c 'sleep 2; exit' "//nobody:$(printf '%048d' 7)@" &
  local other=$! end=$((SECONDS + 5))
  until [[ -s $watch/shown ]]; do ((SECONDS < end)) || return 1; sleep 0.05; done
  kill "$other"
  wait "$other" 2> /dev/null
  sleep 0.1 # a look that is under way
  rm "$watch/shown"
}
watch_arguments &
watcher=$!
check "quickstart: whoever looks at command lines is looked for" watching_works

# The three changes are checked by the script itself, each step.
check "quickstart: --keep shows its three changes and leaves the fleet running" ./deploy/quickstart.sh --keep
check "quickstart: --status says that it runs" ./deploy/quickstart.sh --status
no_password_was_shown() {
  [[ ! -e $watch/shown ]] || { sort "$watch/shown" | uniq -c; return 1; }
}

type_page() {
  local commands
  commands=$(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' README.md)
  [[ -n $commands ]] && bash -euxo pipefail -c "$commands" && grep -qx 'quince 420' .quickstart/alpha/repo/prices.txt
}
check "page: the first proposal of README.md goes all the way" type_page
stop_watching
check "quickstart: no command line had a password" no_password_was_shown

dashboard_answers() { curl -fsS "http://$(cat .quickstart/listen)/" | grep -qi '<!doctype html>'; }
check "page: the dashboard is where it says" dashboard_answers

# Nothing that it started is left, and its address is free again.
ended() {
  local listen
  listen=$(cat .quickstart/listen)
  ./deploy/quickstart.sh --stop && ! ./deploy/quickstart.sh --status && ! curl -fsS -m 2 "http://$listen/readyz" && ! compgen -G '.quickstart/*.pid'
}
check "quickstart: --stop ends all of it" ended
