#!/usr/bin/env bash
# Checks of the tree that need no build: formatting, shell scripts, systemd units. tests/run.sh runs it; it counts like a test program.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# shellcheck source=tests/support/cases.sh
source tests/support/cases.sh
# shellcheck source=tests/support/passwords.sh
source tests/support/passwords.sh

code_is_formatted() {
  find common singularity_agent centralcloud_daemon sql tests \( -name '*.cpp' -o -name '*.hpp' \) -print0 |
    xargs -0 -r clang-format --dry-run -Werror 2>&1 | grep -o '^[^ ]*: error:.*' | cut -c1-160 | awk -F: '!seen[$1]++'
  return "${PIPESTATUS[1]}"
}

shell_scripts() { find deploy tests config .ci -type f \( -name '*.sh' -o -path '.ci/run' \); }
scripts_parse() {
  local script bad=0
  while read -r script; do bash -n "$script" || bad=1; done < <(shell_scripts)
  return $bad
}
scripts_are_clean() {
  command -v shellcheck > /dev/null || return 0
  shell_scripts | xargs shellcheck -x -S warning -e SC2154,SC2034 # sourced files share variables
}
scripts_can_be_run() {
  local script bad=0
  while read -r script; do
    if [[ $(head -c 2 "$script") == '#!' && ! -x $script ]]; then echo "$script is not executable"; bad=1; fi
  done < <(shell_scripts)
  return $bad
}

blocks_of() { awk -v fence="\`\`\`$2" '$0 == fence { on = 1; next } /^```$/ { on = 0 } on' "$1"; } # page, language

# The programs are not installed where the units look for them, so the copies that are verified run /bin/true. The agent's is verified with the
# page's drop-in, too.
units_are_valid() {
  command -v systemd-analyze > /dev/null || { echo "systemd-analyze is missing"; return 1; }
  local copies unit name code=0 output
  copies=$(mktemp -d)
  for unit in deploy/systemd/*.service; do
    name=$(basename "$unit")
    sed -E 's#^(Exec[A-Za-z]*=[-+!@:]*)[^ ]*/(singularity_agent|centralcloud_daemon)#\1/bin/true#' "$unit" > "$copies/${name/@./@sample.}"
  done
  mkdir "$copies/singularity_agent@relaxed.service.d"
  cp "$copies/singularity_agent@sample.service" "$copies/singularity_agent@relaxed.service"
  blocks_of deploy/systemd/README.md ini > "$copies/singularity_agent@relaxed.service.d/page.conf"
  [[ -s $copies/singularity_agent@relaxed.service.d/page.conf ]] || { echo "deploy/systemd/README.md has no drop-in"; code=1; }
  output=$(systemd-analyze verify --man=no --recursive-errors=no "$copies"/*.service 2>&1) || code=1
  # verify exits 0 on lines that it does not understand ("Unknown key name"): anything it says of our files is an error.
  output=$(grep -F -e fleet -e "$copies" -e singularity_agent -e centralcloud_daemon <<< "$output") && code=1
  rm -rf "$copies"
  [[ -z $output ]] || echo "$output"
  return $code
}

# The exposure that systemd-analyze reckons: 0 is sealed off, 10 is bare. deploy/systemd/README.md says what is left open, and why.
units_are_tight() {
  local unit exposure bad=0
  for unit in deploy/systemd/*.service; do
    exposure=$(systemd-analyze security --offline=true --no-pager "$unit" 2>&1 | sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
    [[ -n $exposure ]] && awk -v e="$exposure" 'BEGIN { exit !(e <= 2.0) }' || { echo "$unit: exposure ${exposure:-unknown}, at most 2.0"; bad=1; }
    grep -qx 'KillMode=mixed' "$unit" || { echo "$unit: without KillMode=mixed a stop ends the git or command under way, too"; bad=1; }
  done
  return $bad
}
users_and_directories_are_valid() {
  local root code=0
  root=$(mktemp -d)
  mkdir "$root/etc"
  systemd-sysusers --root="$root" "$PWD/deploy/systemd/fleet_control.sysusers" && grep -q '^fleet:' "$root/etc/passwd" || code=1
  systemd-tmpfiles --root="$root" --create "$PWD/deploy/systemd/fleet_control.tmpfiles" &&
    [[ $(stat -c %a "$root/etc/credstore") == 700 ]] || code=1
  rm -rf "$root"
  return $code
}
# Blocks marked sh are run by tests (tests/run.sh package, image, quickstart); what a typing error breaks is found here already.
pages_parse() {
  local page bad=0
  for page in README.md config/README.md deploy/*.md deploy/*/README.md; do
    blocks_of "$page" sh | bash -n || { echo "$page"; bad=1; }
  done
  return $bad
}

# Whose blocks a test runs or reads; the test names the page. A block without a mark is a picture, or is run by the test that is its subject.
read_by='README.md sh tests/system/quickstart.sh
common/messages/README.md json tests/unit/messages/every_message.cpp
config/README.md sh tests/system/config_test.cpp
deploy/README.md sh tests/system/package/run.sh
deploy/docker/README.md sh tests/system/package/image.sh
deploy/high_availability.md ini tests/system/pooler_test.cpp
deploy/high_availability.md sh tests/system/failover/cluster.sh
deploy/high_availability.md sql tests/system/pooler_test.cpp
deploy/high_availability.md yaml tests/system/failover/cluster.sh
deploy/monitoring.md sh tests/system/package/run.sh
deploy/monitoring.md yaml tests/checks.sh
deploy/runbook.md sh tests/system/package/run.sh
deploy/systemd/README.md ini tests/system/package/run.sh
sql/other_languages.md sql tests/sql/other_languages.sql'
blocks_are_read() {
  local page language test bad=0
  while read -r page language test; do
    grep -qF "$page" "$test" || { echo "$test does not name $page"; bad=1; }
  done <<< "$read_by"
  diff <(cut -d' ' -f1,2 <<< "$read_by") <(grep -ro --include='*.md' --exclude-dir='build*' --exclude-dir='.*' '^```[a-z]\+$' -- * | sed 's/:```/ /' | LC_ALL=C sort -u) || bad=1
  return $bad
}

alert_rules_are_valid() {
  command -v promtool > /dev/null || { echo "promtool is missing"; return 1; }
  promtool check rules config/prometheus-rules.yml && (cd config && promtool test rules prometheus-rules.test.yml)
}
# As the page has it, but for where the rules lie.
page_of_prometheus_is_valid() {
  local place code=0
  place=$(mktemp -d)
  blocks_of deploy/monitoring.md yaml | sed "s#/etc/prometheus/#$PWD/config/#" > "$place/prometheus.yml"
  grep -q 'scrape_configs:' "$place/prometheus.yml" && promtool check config "$place/prometheus.yml" || code=1
  rm -rf "$place"
  return $code
}
# Each rule is tried both ways, and has its section in the runbook, which it names.
alert_rules_are_tested() {
  local name bad=0
  while read -r name; do
    grep -q "alertname=\"$name\"" config/prometheus-rules.test.yml || { echo "$name is never seen firing"; bad=1; }
    grep -qx "## $name" deploy/runbook.md || { echo "deploy/runbook.md has no section \"$name\""; bad=1; }
    grep -A 10 "^ *- alert: $name\$" config/prometheus-rules.yml | grep -m 1 runbook: | grep -qx " *runbook: deploy/runbook.md#${name,,}" ||
      { echo "$name: its runbook is not deploy/runbook.md#${name,,}"; bad=1; }
  done < <(sed -n 's/^ *- alert: //p' config/prometheus-rules.yml)
  return $bad
}

check "clang-format: every source is formatted" code_is_formatted
check "shell: every script parses" scripts_parse
check "shell: shellcheck finds nothing" scripts_are_clean
check "shell: scripts are executable" scripts_can_be_run
check "prometheus: the alerting rules pass promtool's check and their tests" alert_rules_are_valid
check "prometheus: every alerting rule is tested and has a runbook" alert_rules_are_tested
check "prometheus: what deploy/monitoring.md has it read passes promtool's check" page_of_prometheus_is_valid
check "systemd: units pass systemd-analyze verify" units_are_valid
check "systemd: units are sealed off" units_are_tight
check "systemd: users and directories can be made" users_and_directories_are_valid
check "pages: every link leads somewhere" ./tests/links.sh .
check "pages: the shell reads every block marked sh" pages_parse
check "pages: every marked block is run or read by a test" blocks_are_read
check "passwords: none is an argument in a page's commands or a script" no_argument_is_a_password
check "passwords: that check finds what it is for" careless_commands_are_found
check "passwords: an enroll that fails leaves the credential that is in use" credentials_survive

summary
