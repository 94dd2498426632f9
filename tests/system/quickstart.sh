#!/usr/bin/env bash
# The root page as somebody new follows it: the fleet that quickstart.sh starts, the page's commands as they stand, and the end of all of it.
# In the tree's own .quickstart, as anybody would; a fleet that runs there already is somebody's, and stays.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

# shellcheck source=tests/support/cases.sh
source tests/support/cases.sh
ours=no
finish() {
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

# The three changes are checked by the script itself, each step.
check "quickstart: --keep shows its three changes and leaves the fleet running" ./deploy/quickstart.sh --keep
check "quickstart: --status says that it runs" ./deploy/quickstart.sh --status

type_page() {
  local commands
  commands=$(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' README.md)
  [[ -n $commands ]] && bash -euxo pipefail -c "$commands" && grep -qx 'quince 420' .quickstart/alpha/repo/prices.txt
}
check "page: the first proposal of README.md goes all the way" type_page

dashboard_answers() { curl -fsS "http://$(cat .quickstart/listen)/" | grep -qi '<!doctype html>'; }
check "page: the dashboard is where it says" dashboard_answers

# Nothing that it started is left, and its address is free again.
ended() {
  local listen
  listen=$(cat .quickstart/listen)
  ./deploy/quickstart.sh --stop && ! ./deploy/quickstart.sh --status && ! curl -fsS -m 2 "http://$listen/readyz" && ! compgen -G '.quickstart/*.pid'
}
check "quickstart: --stop ends all of it" ended
