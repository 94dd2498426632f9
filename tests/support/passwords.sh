# shellcheck shell=bash
# How pages and scripts treat passwords. Every user of a machine can read the arguments of all processes (/proc/PID/cmdline), so none of
# those may be one; and a credential that is in use must not be replaced by nothing. Sourced by tests/checks.sh, whose blocks_of it uses.

pages_with_commands() { ls README.md config/README.md deploy/*.md deploy/*/README.md; }

# Prints the commands, of those on standard input, that would show a password or that write what enroll prints straight over a file.
# It goes by names: a variable called url may hold a password; one that is given to a program is called otherwise, and has none. The
# administrator's URL of deploy/README.md names a file with the password, which the machine of tests/system/package holds it to.
careless_commands() {
  local client='(psql|pg_dump|pg_dumpall|pg_restore|pg_basebackup|createdb|dropdb|createuser)'
  local program='(psql|sed|awk|grep|jq|curl|env|tee|runuser|setpriv|sudo|docker|pg_dump|centralcloud_daemon|singularity_agent|"\$bin/[a-z_]*")'
  sed -e ':join' -e '/[^\\]\\$/{N;s/\\\n *//;b join' -e '}' -e '/^ *#/d' -e 's/\$(cat [^)]*fleet_admin\.database_url)//g' |
    grep -E -e '--database\.(listen_)?url[= ]' \
      -e "\\b$client\"?( [^|;&<]*)?(\\\$\\{?[A-Za-z_]*(url|URL)\\b|\\\$\\((cat|[a-z_ ]*url)[^)]*)" \
      -e "\\b$client\"?( [^|;&<]*)? '?\"?[a-z]+://[^ /@:]*:[^ /@]*@" \
      -e "\\b$program( [^|;&<]*)?\\\$\\{?[A-Za-z_]*(password|PASSWORD)\\b" \
      -e "\\b$client\"?( [^|;&<]*)? -c [^|;&<]*password '" \
      -e '\benroll\b.*[^0-9]>>? *[^ &(|/]' -e '\benroll\b.*[^0-9]>>? */[^d]'
}
no_argument_is_a_password() {
  local file found bad=0
  while read -r file; do
    if [[ $file == *.md ]]; then found=$(blocks_of "$file" sh | careless_commands); else found=$(careless_commands < "$file"); fi
    [[ -z $found ]] || { printf '%s: %s\n' "$file" "$found"; bad=1; }
  done < <(pages_with_commands; shell_scripts | grep -v '^tests/support/passwords.sh$')
  return $bad
}

# Without this the check could find nothing, and nobody would notice.
careless_commands_are_found() {
  local command bad=0
  while read -r command; do
    [[ -n $(careless_commands <<< "$command") ]] || { echo "not found: $command"; bad=1; }
  done << 'TEXT'
as_admin sh -c 'psql -X -q "$PGFLOW_DATABASE_URL"' << SQL
sql() { as_admin sh -c 'psql -X "$PGFLOW_DATABASE_URL" -c "$1"' sql "$1"; }
as_admin sh -c 'pg_dump -Fc -f /root/before-upgrade.dump "$PGFLOW_DATABASE_URL"'
as_admin sh -c 'psql -X -q "${PGFLOW_DATABASE_URL%/*}/postgres" -c "drop database fleet with (force)"'
psql -X -q "$(cat /etc/credstore/centralcloud_daemon.database_url)" -c 'select 1'
psql postgresql://fleet_admin:secret@127.0.0.1/fleet
exec "$bin/psql" "$(print_url)" "$@"
"$bin/centralcloud_daemon" migrate --database.url "$(database_url)"
url_of[coordinator]=$(database_url | sed "s#//[^@]*@#//fleet_coordinator:$password@#")
psql -X -d "$admin" -c "create role coordinator login password 'secret'"
as_admin centralcloud_daemon enroll beta --rotate-password --json | jq -r .database_url > /etc/credstore/singularity_agent.beta.database_url
TEXT
  # What is right, and looks like it.
  while read -r command; do
    [[ -z $(careless_commands <<< "$command") ]] || { echo "found, and is right: $command"; bad=1; }
  done << 'TEXT'
sql() { psql -X -q -v ON_ERROR_STOP=1 "$admin" <<< "$1"; }
sql "create role coordinator login password '$password' in role centralcloud" && echo "postgresql://coordinator:$password@127.0.0.1/fleet" | store FILE
as_admin centralcloud_daemon enroll beta --rotate-password --json | jq -er .database_url | store /etc/credstore/singularity_agent.beta.database_url
PGFLOW_DATABASE_URL=$(database_url) "$bin/centralcloud_daemon" migrate
as_admin centralcloud_daemon enroll alpha --json > /dev/null 2>&1
TEXT
  return $bad
}

# Runs what a page or script has to store what enroll prints, with an enroll of the test's own, in a folder of the test's own; the daemon that
# is restarted by it is noted there. As pasted into a shell, and as a script that stops at the first failure.
store_by() { # page or script, folder, the shell's options, the body of an enroll
  local text
  text=$(if [[ $1 == *.md ]]; then blocks_of "$1" sh; else cat "$1"; fi | sed -e "s#/etc/credstore\|/credentials/[^/]*#$2#g")
  { grep -E '^store\(\)' <<< "$text"
    # shellcheck disable=SC2016
    printf '%s\n' 'as_admin() { "$@"; }' "systemctl() { echo \"\$*\" >> $2/restarted; }" "centralcloud_daemon() { $4; }" name=beta
    awk '/ enroll .*--json/ { on = 1 } on { print } on && !/(\\|\||&&)$/ { exit }' <<< "$text"
  } > "$2/commands"
  # shellcheck disable=SC2086 # options are words
  bash $3 "$2/commands" 2> "$2/said"
}
credentials_survive() {
  local source place file options bad=0
  for source in deploy/README.md deploy/runbook.md deploy/docker/setup.sh; do
    for options in '' '-euo pipefail'; do
      place=$(mktemp -d)
      grep -q ' enroll .*--json' "$source" || { echo "$source enrolls nobody"; bad=1; }
      for file in singularity_agent.beta.database_url database_url; do echo live > "$place/$file"; chmod 600 "$place/$file"; done
      store_by "$source" "$place" "$options" 'echo "the database is away" >&2; return 1'
      for file in singularity_agent.beta.database_url database_url; do
        [[ $(cat "$place/$file") == live ]] || { echo "$source (bash $options): an enroll that fails leaves in $file: '$(cat "$place/$file")'"; bad=1; }
      done
      [[ ! -e $place/restarted ]] || { echo "$source (bash $options): an enroll that fails has $(cat "$place/restarted")"; bad=1; }
      store_by "$source" "$place" "$options" 'echo "{\"database_url\": \"postgresql://new\"}"'
      file=$(grep -lx postgresql://new "$place"/*database_url) && [[ $(stat -c %a "$file") == 600 ]] ||
        { echo "$source (bash $options): an enroll that succeeds is not stored for root alone"; cat "$place/said"; bad=1; }
      rm -rf "$place"
    done
  done
  return $bad
}
