#!/bin/bash
# Sets up what the compose file's fleet needs, once; run again it changes nothing that is there.
#   fleet-setup INSTANCE...      with PGFLOW_DATABASE_URL of a superuser, and PGPASSWORD
# /credentials/NAME: what NAME's container finds in its CREDENTIALS_DIRECTORY. /repositories/NAME: its repository.
set -euo pipefail
if [[ $EUID -eq 0 ]]; then
  # Fresh volumes belong to root; what runs here needs no more of root than to hand them over.
  chown 10001:10001 /credentials/* /repositories/*
  exec setpriv --reuid=10001 --regid=10001 --clear-groups "$0" "$@"
fi
password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
store() { (umask 077 && cat > "$1.new" && test -s "$1.new" && mv "$1.new" "$1"); }

centralcloud_daemon migrate
if [[ ! -s /credentials/coordinator/database_url ]]; then
  coordinator=$(password)
  # Without a password: every user of the machine can read arguments.
  server=$PGFLOW_DATABASE_URL
  psql -X -q -v ON_ERROR_STOP=1 "$server" << SQL
select 'create role coordinator in role centralcloud' where not exists (select from pg_roles where rolname = 'coordinator') \\gexec
alter role coordinator login password '$coordinator';
SQL
  echo "postgresql://coordinator:$coordinator@${server#*@}" | store /credentials/coordinator/database_url
fi
for name in coordinator "$@"; do
  [[ -s /credentials/$name/http_token ]] || password | store "/credentials/$name/http_token"
done
for name in "$@"; do
  if [[ ! -s /credentials/$name/database_url ]]; then
    # Enrolled by a run that ended before it stored the url: then it is given another password.
    { centralcloud_daemon enroll "$name" --json || centralcloud_daemon enroll "$name" --rotate-password --json; } |
      jq -er .database_url | store "/credentials/$name/database_url"
  fi
  repository=/repositories/$name
  if [[ ! -d $repository/.git ]]; then
    git init -q -b main "$repository"
    echo 'greeting = hello' > "$repository/service.conf"
    echo '{"success_rate": 0.99, "error_rate": 0.01, "latency_p95_ms": 120}' > "$repository/metrics.json"
    git -C "$repository" add -A
    git -C "$repository" -c user.name=setup -c user.email=setup@localhost commit -q -m 'As it was'
  fi
done
echo "set up: coordinator $*"
