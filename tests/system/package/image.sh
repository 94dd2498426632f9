#!/usr/bin/env bash
# deploy/docker without a container engine: every RUN of the Dockerfile, stage by stage, in a Debian root, then the commands of its README with
# containers as the compose file says. Needs root and the network; about 5 minutes, most of it the build of the sources.
#   image.sh [--skip-build]   takes the programs of this build instead of building them in the root
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 1
source=$PWD build=$PWD/build
[[ ${1:-} != --skip-build ]] || skip=yes
# shellcheck source=tests/system/package/machine.sh
source tests/system/package/machine.sh
base=${FLEET_DEBIAN_SLIM:-/var/tmp/fleet-debian-12-slim} # what stands for debian:12-slim
dockerfile=$PWD/deploy/docker/Dockerfile

fail() { echo "FAILED $1"; exit 1; }
[[ $EUID -eq 0 ]] || fail "only root can do this"
trap 'remove_machine' EXIT
if [[ ! -e $base/.complete ]]; then
  debootstrap --variant=minbase bookworm "$base" > "$base.log" 2>&1 && touch "$base/.complete" || fail "debootstrap, log: $base.log"
fi

# The instructions of a stage: "RUN command", "COPY from to", one a line.
stage() { awk -v stage="$1" '$1 == "FROM" { on = ($4 == stage) } on && ($1 == "RUN" || $1 == "COPY")' "$dockerfile"; }
run_stage() { # stage, root
  local instruction rest
  while read -r instruction rest; do
    echo "$1: $instruction ${rest:0:100}"
    case "$instruction $rest" in
      "COPY --from=build "*)
        read -r _ from to <<< "$rest"
        mkdir -p "$2$to" && cp -a "$installed${from#/installed}/." "$2$to/" || return 1 ;;
      "COPY . .") git ls-files -z | xargs -0 cp -a --parents -t "$2/src/" || return 1 ;;
      "COPY deploy/docker/setup.sh "*) install -m 755 deploy/docker/setup.sh "$2/usr/local/bin/fleet-setup" || return 1 ;;
      "COPY "*)
        read -r from to <<< "$rest"
        install -D "$from" "$2/src/$to" || return 1 ;;
      *)
        in_root "$2" env DEBIAN_FRONTEND=noninteractive HOME=/root sh -c "mkdir -p /src && cd /src && $rest" > "$machine/run.log" 2>&1 || { tail -n 30 "$machine/run.log"; return 1; } ;;
    esac
  done < <(stage "$1")
}

# Debian's own image throws away what apt has fetched; this root does not.
size_of_layer() { du -sm --exclude=var/cache --exclude=var/lib/apt "$machine/layer/upper" | cut -f1; }

make_machine || fail "no root"
cp -L /etc/resolv.conf "$machine/root/etc/"
if [[ -n ${skip:-} ]]; then
  installed=$machine/installed
  DESTDIR=$installed cmake --install "$build" --prefix /usr --strip > /dev/null || fail "cmake --install"
else
  # This machine's compiler cache only makes it faster; without one the build takes its minutes.
  cache=$(ccache -k cache_dir 2> /dev/null) && [[ -d $cache ]] && mkdir -p "$machine/root/root/.cache/ccache" &&
    mount --bind "$cache" "$machine/root/root/.cache/ccache"
  run_stage build "$machine/root" || fail "stage build"
  # What install-deps.sh has installed is also all that deploy/README.md makes the Debian package with.
  in_root "$machine/root" sh -c 'cd /src/build && cpack -G DEB && ls fleet-control_*_amd64.deb' > "$machine/run.log" 2>&1 || { tail "$machine/run.log"; fail "cpack"; }
  umount "$machine/root/root/.cache/ccache" 2> /dev/null
  cp -a "$machine/root/installed" "$machine/installed" && installed=$machine/installed
  remove_layer && make_layer && cp -L /etc/resolv.conf "$machine/root/etc/" || fail "no second root"
fi
# Measured: 35 and 135 MiB (git brings Perl, 100 MiB). The bounds have room for a larger library; programs with their debug information (80 MiB
# more), a compiler, or all that a package recommends do not fit.
size_fits() { # image, MiB
  local size
  size=$(size_of_layer)
  echo "size beside debian:12-slim: $1 $size MiB, at most $2"
  ((size <= $2))
}
run_stage base "$machine/root" || fail "stage base"
size_fits coordinator 45 || fail "size of the coordinator's image"
run_stage agent "$machine/root" || fail "stage agent"
size_fits agent 150 || fail "size of the agent's image"
run_stage tools "$machine/root" || fail "stage tools"

# The compose file's part. docker-compose reads it; each container gets what it says: volumes, environment, command, a read-only root, no
# capabilities, and a network of its own. PostgreSQL is one of this machine's, which containers reach by a socket instead of a network.
compose=$machine/compose.json
POSTGRES_PASSWORD=secret docker-compose -f deploy/docker/docker-compose.yml config |
  python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' > "$compose" || fail "docker-compose does not take the file"
of_service() { jq -j --arg s "$1" ".services[\$s] | $2 // [] | .[] + \"\\u0000\"" "$compose"; } # a list, each of it ended by a zero
of_image() { # target, ENTRYPOINT|CMD: the same
  awk -v stage="$1" -v what="$2" '$1 == "FROM" { on = ($4 == stage) } on && $1 == what' "$dockerfile" | sed 's/^[A-Z]* //' | jq -j '.[] + "\u0000"'
}
./deploy/dev-postgres.sh start --fast --dir "$machine/postgres" > /dev/null || fail "PostgreSQL"
read -r password socket port < <(./deploy/dev-postgres.sh url --dir "$machine/postgres" | sed -E 's#.*:([^@]*)@/fleet\?host=([^&]*)&port=([0-9]*).*#\1 \2 \3#')
printf -v socket %b "${socket//%/\\x}"
root=$machine/root networks=$machine/networks
mkdir -p "$networks" "$root/postgres" && touch "$root/postgres/.s.PGSQL.5432"

# A volume begins as what the image has there, as Docker makes it. Prints what a container's volumes are: FROM:TO:MODE.
volumes_of() {
  local volume from to mode
  while IFS=: read -r -d '' from to mode; do
    if [[ $from == /* ]]; then
      mkdir -p "$root${to%/*}" && touch "$root$to"
    else
      mkdir -p "$root$to"
      volume=$machine/volumes/$from
      [[ -e $volume ]] || { mkdir -p "$volume" && chown --reference="$root$to" "$volume"; }
      from=$volume
    fi
    printf '%s:%s:%s\0' "$from" "$to" "$mode"
  done < <(of_service "$1" .volumes)
}
in_container() { # service, command...
  local service=$1 volumes user=0
  shift
  mapfile -d '' -t volumes < <(volumes_of "$service")
  [[ $service == setup ]] || user=10001 # as the images' USER says
  [[ -e $networks/$service ]] || { touch "$networks/$service" && unshare --net="$networks/$service" ip link set lo up; } || return 1
  mapfile -d '' -t environment < <(of_service "$service" '.environment // {} | to_entries | map(.key + "=" + .value)')
  environment=("${environment[@]/#PGFLOW_DATABASE_URL=*/PGFLOW_DATABASE_URL=postgresql://fleet@/fleet?host=/postgres}")
  environment=("${environment[@]/#PGPASSWORD=*/PGPASSWORD=$password}")
  # shellcheck disable=SC2016
  nsenter --net="$networks/$service" unshare --mount --pid --fork --kill-child bash -c '
    root=$1 user=$2 read_only=$3 socket=$4 count=$5
    shift 5
    mount --make-rprivate /
    mount --bind "$root" "$root"
    [[ $read_only != true ]] || mount -o remount,bind,ro "$root"
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/tmp"
    mount --bind "$socket" "$root/postgres/.s.PGSQL.5432" || exit 1
    while ((count-- > 0)); do
      IFS=: read -r from to mode <<< "$1"
      mount --bind "$from" "$root$to" || exit 1
      [[ $mode != ro ]] || mount -o remount,bind,ro "$root$to"
      shift
    done
    limits=()
    ((user == 0)) || limits=(setpriv --reuid="$user" --regid="$user" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs)
    exec chroot "$root" "${limits[@]}" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp CREDENTIALS_DIRECTORY=/credentials "$@"' \
    in_container "$root" "$user" "$(jq -r --arg s "$service" '.services[$s].read_only' "$compose")" "$socket/.s.PGSQL.$port" \
    "${#volumes[@]}" "${volumes[@]}" "${environment[@]}" "$@"
}
start_container() {
  local target words arguments
  target=$(jq -r --arg s "$1" '.services[$s].build.target' "$compose")
  mapfile -d '' -t words < <(of_image "$target" ENTRYPOINT)
  mapfile -d '' -t arguments < <(of_service "$1" .command)
  ((${#arguments[@]} > 0)) || mapfile -d '' -t arguments < <(of_image "$target" CMD)
  in_container "$1" "${words[@]}" "${arguments[@]}" > "$machine/$1.log" 2>&1
}
is_healthy() {
  local words
  mapfile -d '' -t words < <(of_service "$1" '.healthcheck.test[1:]')
  in_container "$1" "${words[@]}"
}
daemons=(coordinator alpha beta gamma)
all_healthy() { local name; for name in "${daemons[@]}"; do is_healthy "$name" || return 1; done; }
start_fleet() {
  local name end
  # A second time, as after a restart of the machine, it changes nothing.
  for _ in first again; do start_container setup || { cat "$machine/setup.log"; return 1; }; done
  for name in "${daemons[@]}"; do start_container "$name" & done
  end=$((SECONDS + 40))
  until all_healthy > /dev/null 2>&1; do
    ((SECONDS < end)) || { tail -n 5 "$machine"/*.log; return 1; }
    sleep 0.3
  done
}
stop_all() {
  local job
  # A job is the shell that waits for its `unshare`, which takes all of its own with it.
  for job in $(jobs -p); do kill -KILL $(pgrep -P "$job") "$job"; done
  cd "$source" && ./deploy/dev-postgres.sh destroy --dir "$machine/postgres" > /dev/null
  umount "$networks"/*
  remove_machine
}
trap 'stop_all 2> /dev/null' EXIT

# The commands of deploy/docker/README.md as they stand, with what is above in the place of docker.
docker() {
  case "$1 $2" in
    "compose up") start_fleet ;;
    "compose ps") all_healthy > /dev/null ;;
    "compose exec")
      shift 2
      [[ $1 != -T ]] || shift
      in_container "$@" ;;
    *) echo "docker $*: not known here"; return 1 ;;
  esac
}
mkdir -p "$machine/tree/deploy" && cp -a deploy/docker "$machine/tree/deploy/"
commands=$(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' deploy/docker/README.md)
[[ $commands == *"docker compose up"* ]] || fail "deploy/docker/README.md has no commands"
cd "$machine/tree" || fail "no copy of the folder"
trap 'echo "FAILED of deploy/docker/README.md: $BASH_COMMAND"' ERR
set -e
eval "$commands"
set +e
trap - ERR
cd "$source" || fail "no way back"
[[ $(stat -c %u "$machine/volumes/alpha-credentials/database_url") == 10001 && $(cat "$machine/volumes/alpha-repository/service.conf") == 'greeting = hello, fleet' ]] ||
  fail "not as expected"
# Prometheus looks for containers that there are, where they listen.
promtool check config deploy/docker/prometheus.yml > /dev/null || fail "prometheus.yml"
while IFS=: read -r name port; do
  grep -qE "^listen = .*:$port$" "deploy/docker/$([[ $name == coordinator ]] && echo centralcloud_daemon || echo singularity_agent).ini" &&
    jq -e --arg s "$name" '.services[$s]' "$compose" > /dev/null || fail "prometheus.yml: $name:$port"
done < <(grep targets: deploy/docker/prometheus.yml | grep -oE '[a-z]+:[0-9]+')
echo "test cases: 1 | 1 passed | 0 failed"
