#!/usr/bin/env bash
# deploy/docker/Dockerfile without a container engine: every RUN of it, stage by stage, in a Debian root, then what the compose file does with the
# images: setup, coordinator, three agents, a proposal. Needs root and the network; about 5 minutes, most of it the build of the sources.
#   image.sh [--skip-build]   takes the programs of this build instead of building them in the root
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 1
build=$PWD/build
[[ ${1:-} != --skip-build ]] || skip=yes
# shellcheck source=tests/system/package/machine.sh
source tests/system/package/machine.sh
base=${FLEET_DEBIAN_SLIM:-/var/tmp/fleet-debian-12-slim} # what stands for debian:12-slim
dockerfile=deploy/docker/Dockerfile

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
  umount "$machine/root/root/.cache/ccache" 2> /dev/null
  cp -a "$machine/root/installed" "$machine/installed" && installed=$machine/installed
  remove_layer && make_layer && cp -L /etc/resolv.conf "$machine/root/etc/" || fail "no second root"
fi
run_stage base "$machine/root" || fail "stage base"
echo "size beside debian:12-slim: coordinator $(size_of_layer) MiB"
run_stage agent "$machine/root" || fail "stage agent"
echo "size beside debian:12-slim: agent $(size_of_layer) MiB"
run_stage tools "$machine/root" || fail "stage tools"

# The compose file's part: a PostgreSQL, the setup, and each container's view of its volumes.
./deploy/dev-postgres.sh start --fast --dir "$machine/postgres" > /dev/null || fail "PostgreSQL"
admin=$(./deploy/dev-postgres.sh url --tcp --dir "$machine/postgres")
root=$machine/root
as_container() { # credentials, command...: as uid 10001 in the image's root; the setup begins as root
  local name=$1 user=10001
  shift
  [[ $name != setup ]] || user=0
  unshare --mount --pid --fork --kill-child bash -c '
    root=$1 name=$2 user=$3; shift 3
    mount --make-rprivate /
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/tmp"
    if [[ $name != setup ]]; then
      mkdir -p "$root/repository" "$root/volumes/state-$name" && chown 10001 "$root/volumes/state-$name"
      [[ $name == coordinator ]] || mount --bind "$root/repositories/$name" "$root/repository"
      mount --bind "$root/credentials/$name" "$root/credentials"
      mount --bind "$root/volumes/state-$name" "$root/var/lib/singularity_agent"
    fi
    exec chroot --userspec=$user:$user "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp CREDENTIALS_DIRECTORY=/credentials "$@"' as_container "$root" "$name" "$user" "$@"
}
for folder in credentials/{coordinator,alpha,beta,gamma} repositories/{alpha,beta,gamma}; do install -d "$root/$folder"; done
cp deploy/docker/*.ini "$root/etc/fleet_control/"
for _ in first again; do as_container setup PGFLOW_DATABASE_URL="$admin" fleet-setup alpha beta gamma > "$machine/setup.log" 2>&1 || { cat "$machine/setup.log"; fail "setup"; }; done
as_container coordinator centralcloud_daemon run --config /etc/fleet_control/centralcloud_daemon.ini --http.listen 127.0.0.1:14001 > "$machine/coordinator.log" 2>&1 &
port=14002
for name in alpha beta gamma; do
  # Here all share one network: other ports.
  as_container $name INSTANCE_ID=$name singularity_agent run --config /etc/fleet_control/singularity_agent.ini --api.listen 127.0.0.1:$port > "$machine/$name.log" 2>&1 &
  port=$((port + 1))
done
stop_all() {
  local job
  # A job is the shell that waits for its `unshare`, which takes all of its own with it.
  for job in $(jobs -p); do kill -KILL $(pgrep -P "$job") "$job"; done
  ./deploy/dev-postgres.sh destroy --dir "$machine/postgres" > /dev/null
  remove_machine
}
trap 'stop_all 2> /dev/null' EXIT
end=$((SECONDS + 40))
until curl -fsS http://127.0.0.1:14001/readyz && curl -fsS http://127.0.0.1:14002/readyz && curl -fsS http://127.0.0.1:14004/readyz; do
  ((SECONDS < end)) || { tail -n 5 "$machine"/*.log; fail "the containers' programs do not get ready"; }
  sleep 0.3
done > /dev/null 2>&1
echo '{"agent_type": "BugFixerAgent", "impact_score": 6, "risk_score": 2, "safety_profile": {"error_threshold": 0.1, "observation_window_seconds": 2},
  "code_change": {"files": {"service.conf": "greeting = hello, fleet\n"}}}' > "$root/volumes/proposal.json"
as_container alpha singularity_agent propose /volumes/proposal.json --wait --config /etc/fleet_control/singularity_agent.ini || fail "the proposal did not go all the way"
as_container coordinator centralcloud_daemon doctor --config /etc/fleet_control/centralcloud_daemon.ini --http.listen 127.0.0.1:14001 || fail "doctor"
[[ $(stat -c %u "$root/credentials/alpha/database_url") == 10001 && $(cat "$root/repositories/alpha/service.conf") == 'greeting = hello, fleet' ]] || fail "not as expected"
echo "test cases: 1 | 1 passed | 0 failed"
