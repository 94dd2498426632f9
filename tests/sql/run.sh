#!/usr/bin/env bash
# Runs tests/sql/*.sql: each file is one case, in a database of its own with the schema as `centralcloud_daemon migrate` makes it.
#   tests/sql/run.sh [NAME...]      NAME: a file's name without .sql
# A case passes where psql reaches its end: it raises an error (`assert` in a `do` block) where something does not hold. A file that
# begins with `_` is no case; it may be included with \ir. FLEET_CASE_URL is the case's own database; roles whose name begins with that
# database's are dropped after it. FLEET_TEST_DATABASE_URL names the server; FLEET_BIN_DIR the programs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

: "${FLEET_TEST_DATABASE_URL:?is not set; tests/run.sh sql sets it}"
migrate=${FLEET_BIN_DIR:-../../build/bin}/centralcloud_daemon
[[ -x $migrate ]] || { echo "$migrate was not built"; exit 1; }

# The same server, another database: what stands between the last "/" of the URL and its "?".
url_of() { sed -E "s#^([a-z]+://[^/]*)/[^?]*#\1/$1#" <<< "$FLEET_TEST_DATABASE_URL"; }
# psql's arguments can be read by every user of the machine: the password is none of them.
PGPASSWORD=$(sed -nE 's#^[a-z]+://[^:/@]*:([^/@]*)@.*#\1#p' <<< "$FLEET_TEST_DATABASE_URL")
printf -v PGPASSWORD %b "${PGPASSWORD//%/\\x}"
export PGPASSWORD
without_password() { sed -E 's#^([a-z]+://[^:/@]*):[^/@]*@#\1@#'; }
server=$(without_password <<< "$FLEET_TEST_DATABASE_URL")
admin() { psql -X -q -v ON_ERROR_STOP=1 "$server" -c 'set client_min_messages = warning' -c "$1"; }

template=fleet_sql_$$
case_database=fleet_sql_$$_case
drop_case() {
  admin "drop database if exists $case_database with (force)"
  # Roles belong to the whole server.
  admin "do \$\$ declare name text; begin
    for name in select rolname from pg_roles where starts_with(rolname, '${case_database}_') loop execute format('drop role %I', name); end loop;
  end \$\$"
}
clean_up() {
  drop_case || true
  admin "drop database if exists $template with (force)" || true
}
trap clean_up EXIT
admin "create database $template"
PGFLOW_DATABASE_URL=$(url_of "$template") "$migrate" migrate

case_login=$(url_of "$case_database" | without_password)
files=()
if [[ $# -gt 0 ]]; then
  for name in "$@"; do files+=("${name%.sql}.sql"); done
else
  for file in [!_]*.sql; do [[ ! -e $file ]] || files+=("$file"); done
fi

passed=0 failed=0
for file in "${files[@]}"; do
  admin "create database $case_database template $template"
  if output=$(FLEET_CASE_URL=$(url_of "$case_database") PGOPTIONS='-c client_min_messages=warning -c statement_timeout=60000' \
    psql -X -q -v ON_ERROR_STOP=1 "$case_login" -f "$file" 2>&1); then
    passed=$((passed + 1))
    echo "ok     ${file%.sql}"
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n%s\n' "${file%.sql}" "$output"
  fi
  drop_case
done
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
