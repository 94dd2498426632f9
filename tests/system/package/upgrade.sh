# shellcheck shell=bash
# The next release, made for the test, and the upgrade to it with work under way in every place where work can wait. Sourced by run.sh.

# A release of one migration more, built from a copy of these sources: its programs refuse today's schema, and today's refuse its.
# The copy keeps the files' times, so that a second run builds nothing, and is built in these sources' own place, so that the compiler cache has
# most of it from their build.
make_next_release() { # prints where the package is
  local tree sources=$PWD newest number
  tree=$(cd "$build" && pwd)/next_release
  mkdir -p "$tree" && find "$tree" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} + &&
    git ls-files -z | xargs -0 cp -a --parents -t "$tree" && cd "$tree" || return 1
  newest=$(find sql/migrations -name '[0-9]*.sql' | sort | tail -n 1)
  number=$((10#$(basename "$newest" | cut -d_ -f1)))
  printf 'alter table centralcloud.proposal add column release text not null default %s;\ncreate index on centralcloud.proposal (release);\n' \
    "'next'" > "sql/migrations/$(printf %04d $((number + 1)))_next_release.sql"
  sed -i "s/schema_version = $number;/schema_version = $((number + 1));/" common/quantumflow/schema_version.hpp
  grep -q "schema_version = $((number + 1));" common/quantumflow/schema_version.hpp || return 1
  touch -r "$newest" sql/migrations/*_next_release.sql common/quantumflow/schema_version.hpp
  # dpkg asks about a file of /etc that both an operator and the release have changed.
  echo '# The next release says more here.' >> deploy/package/centralcloud_daemon.ini
  export -f make_package
  # shellcheck disable=SC2016
  unshare --mount bash -c 'mount --make-rprivate / && mount --bind "$1" "$2" && cd "$2" && cmake --preset release -DFLEET_TESTS=OFF &&
    cmake --build --preset release && make_package 0.3.0 build "$2/packages"' next_release "$tree" "$sources" > build.log 2>&1 ||
    { tail -n 30 build.log; return 1; }
  echo "$tree"/packages/fleet-control_0.3.0_*.deb
}
make_package() { # version, build folder, where to
  (cd "$2" && cpack -G DEB -D "CPACK_PACKAGE_VERSION=$1" -B "$3") && rm -rf "$3/_CPack_Packages"
}

propose_by() { # instance, id: the answer
  inside sh -c 'jq --arg id "$2" ".proposal_id = \$id | .safety_profile.observation_window_seconds = 1 | .code_change.files = {(\$id + \".conf\"): \"x\n\"}" /tmp/proposal.json |
    curl -sS --unix-socket "/run/singularity_agent/$1/agent.sock" --json @- http://agent/v1/proposals' propose_by "$1" "$2"
}
ask_database() { inside sh -c 'psql -X -At "$(cat /etc/credstore/fleet_admin.database_url)" -c "$1"' ask "$1"; }
entries_in_spool() { # instance, whose agent is stopped; of a copy, so that SQLite leaves nothing beside the file
  rm -rf "$machine/spool" && mkdir "$machine/spool" && cp "$machine/root/var/lib/singularity_agent/$1"/spool.db* "$machine/spool/" &&
    python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("select count(*) from entry").fetchone()[0])' "$machine/spool/spool.db"
}
is_answer() { # SQL, what it has to answer
  local answer
  answer=$(ask_database "$1")
  [[ $answer == "$2" ]] || { echo "$1: $answer, not $2"; return 1; }
}
becomes_answer() { wait_for 60 is_answer "$@" > /dev/null || is_answer "$@"; }

# Nine proposals, each third of them in another place: a vote that is open and waits for a voter who is stopped, a message that no
# coordinator has read, and a spool that could not be handed over.
put_work_under_way() {
  printf '[consensus]\nmin_votes = 2\nvoting_timeout_ms = 600000\n' | inside tee -a /etc/fleet_control/centralcloud_daemon.ini > /dev/null
  inside systemctl reload centralcloud_daemon && inside systemctl stop singularity_agent@beta || return 1
  for n in 1 2 3; do propose_by alpha "voting-$n" || return 1; done
  becomes_answer "select count(*) from centralcloud.vote where proposal_id ~ '^voting-'" 3 || return 1
  inside systemctl stop centralcloud_daemon
  for n in 1 2 3; do propose_by alpha "queued-$n" || return 1; done
  becomes_answer "select pending from quantumflow.list_queues() where queue_name = 'proposals_for_consensus_queue'" 3 || return 1
  inside systemctl stop postgresql@15-main
  for n in 1 2 3; do propose_by alpha "spooled-$n" | grep '"spooled":true' || return 1; done
  inside systemctl stop singularity_agent@alpha
  inside systemctl start postgresql@15-main
  [[ $(entries_in_spool alpha) == 3 ]] &&
    is_answer "select pending >= 3 from quantumflow.list_queues() where queue_name = 'voting_requests_queue'" t
}

where_they_are() { # condition
  ask_database "select proposal_id, state, decided_at from centralcloud.proposal where $1 union all
    select proposal_id, state || ' ' || coalesce(cause, ''), at from centralcloud.step where $1 order by 1, 3"
  ask_database "select queue_name, pending, retrying, dlq from quantumflow.list_queues() where pending + retrying + dlq > 0"
  ask_database "select v.queue_name, v.consumer_group, t.* from quantumflow.retry t join quantumflow.reader v using (cursor_id)"
  inside journalctl -u centralcloud_daemon -u 'singularity_agent@*' -p warning -n 40 --no-pager
}

# Each that was accepted is decided once, by both who vote, carried out once, and nothing is left anywhere.
handled_once() { # ids, how many
  local these="proposal_id ~ '^($1)-'" commits
  becomes_answer "select count(*) from centralcloud.change where $these and state = 'confirmed'" "$2" || { where_they_are "$these"; return 1; }
  is_answer "select count(*) from centralcloud.decision where $these and rule = 'consensus'" "$2" &&
    is_answer "select count(*) from centralcloud.vote where $these and counted" $(($2 * 2)) &&
    is_answer "select count(*) || ' ' || count(distinct proposal_id) from singularity.proposal_step where $these and to_state = 'applied'" "$2 $2" &&
    is_answer "select count(*) from quantumflow.list_dlq_messages()" 0 || return 1
  commits=$(inside git -c safe.directory='*' -C /var/lib/singularity_agent/alpha/repository log --format='%(trailers:key=Proposal-Id,valueonly)' | grep -E "^($1)-")
  [[ $(sort -u <<< "$commits" | wc -l) == "$2" && $(wc -l <<< "$commits") == "$2" ]] || { echo "commits: $commits"; return 1; }
  inside curl -fsS --unix-socket /run/singularity_agent/alpha/agent.sock http://agent/metrics | grep -x 'singularity_spool_entries 0' &&
    inside sh -c 'PGFLOW_DATABASE_URL=$(cat /etc/credstore/centralcloud_daemon.database_url) centralcloud_daemon audit verify'
}

# What deploy/README.md says under a heading, as it stands, but for the instance that the page has taken out by its end.
type_part() { # heading, blocks of it (all)
  { grep -hE '^(as_[a-z]+\(\)|sql\(\)|admin=|package=|new=)' deploy/README.md; commands_of deploy/README.md "$@"; } | sed 's/ singularity_agent@gamma$//' | type_commands
}
release_is() { [[ $(inside dpkg-query -W -f '${Version}' fleet-control) == "$1" ]]; }
upgrade_loses_nothing() {
  inside rm -r /root/new && inside mkdir /root/new && cp "$next" "$machine/root/root/new/" && type_part Upgrade && release_is 0.3.0 &&
    is_answer "select title from quantumflow.schema_migration order by version desc limit 1" next_release &&
    inside grep -q '^min_votes = 2$' /etc/fleet_control/centralcloud_daemon.ini && handled_once 'voting|queued|spooled' 9
}

# The first way back is for a schema that is the same: here the old release refuses, says why, and is not started again and again.
refused() { # unit
  [[ $(inside systemctl is-failed "$1") == failed && $(inside systemctl show -P ExecMainStatus "$1") == 2 && $(inside systemctl show -P NRestarts "$1") == 0 ]] &&
    inside journalctl -u "$1" -n 20 --no-pager | grep "newer than this build's"
}
old_release_refuses() {
  type_part 'Roll back the deployment' 1 && release_is "$version" || return 1
  local unit
  for unit in centralcloud_daemon singularity_agent@alpha; do wait_for 20 refused "$unit" || { inside systemctl status "$unit" --no-pager; return 1; }; done
}
# The other is for one that is not: all is as it was before the upgrade, and what was under way then is handled again, its changes found done.
dump_brings_back() {
  type_part 'Roll back the deployment' 2 && handled_once 'voting|queued|spooled' 9
}
