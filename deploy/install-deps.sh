#!/usr/bin/env bash
# Installs what building and running needs, from Debian 12's own packages. Asks for nothing; makes no apt call when all is there.
#   install-deps.sh [--tests] [--package] [--bench] [--failover] [--check]
#     --tests   also what only tests/run.sh needs (clang-format, shellcheck, systemd-analyze, PgBouncer, Chromium, libfaketime; promtool in /usr/local/bin)
#     --package  also what tests/run.sh package and image need (debootstrap, lintian, docker-compose)
#     --bench   also the queues that tests/bench/queue_bench.sh compares with (PgQ; Node for those of npm)
#     --failover  also Patroni and etcd, for tests/system/failover
#     --check   only say what is missing; exit 1 where something is
# Works as root, or as a user who may use sudo. An installed PostgreSQL and its clusters are left as they are.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache mold pkg-config
  libboost1.81-dev libboost-json1.81-dev libboost-program-options1.81-dev libboost-filesystem1.81-dev libboost-url1.81-dev
  libpq-dev libfmt-dev libspdlog-dev prometheus-cpp-dev libsystemd-dev libsqlite3-dev libssl-dev catch2
  postgresql-15 postgresql-client-15
  git ca-certificates curl jq util-linux procps
  dpkg-dev file # cpack asks them what the Debian package depends on
)
test_packages=(clang-format shellcheck systemd pgbouncer chromium chromium-driver libfaketime)
package_packages=(debootstrap lintian docker-compose python3-yaml)
bench_packages=(postgresql-15-pgq3 pgqd)
failover_packages=(patroni etcd-server python3-psycopg2 python3-etcd)
# A Node from elsewhere is as good as Debian's, which is too old for pg-boss.
command -v npm > /dev/null || bench_packages+=(nodejs npm)

fail() { printf 'install-deps: %s\n' "$*" >&2; exit 1; }
say() { printf 'install-deps: %s\n' "$*" >&2; }

check_only=no with_tests=no
for argument in "$@"; do
  case $argument in
    --tests) packages+=("${test_packages[@]}") with_tests=yes ;;
    --package) packages+=("${package_packages[@]}") ;;
    --bench) packages+=("${bench_packages[@]}") ;;
    --failover) packages+=("${failover_packages[@]}") ;;
    --check) check_only=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) printf 'install-deps: unknown argument %s (see --help)\n' "$argument" >&2; exit 2 ;;
  esac
done

command -v dpkg-query > /dev/null || fail "needs Debian 12 (no dpkg here). By hand, install the equivalents of: ${packages[*]}"

# One dpkg-query for all: a rerun must cost milliseconds. It exits 1 where a name is unknown to it, which only means "missing".
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2> /dev/null | sed -n 's/ installed$//p') || true
missing=()
for package in "${packages[@]}"; do
  grep -qxF -- "$package" <<< "$installed" || missing+=("$package")
done

# promtool alone: Debian has it in the package of the server, which would start one.
promtool=no
[[ $with_tests == no ]] || command -v promtool > /dev/null || promtool=yes

[[ ${#missing[@]} -gt 0 || $promtool == yes ]] || exit 0
if [[ $check_only == yes ]]; then
  [[ $promtool == no ]] || missing+=("promtool (of prometheus)")
  printf 'missing: %s\n' "${missing[*]}"
  exit 1
fi
command -v apt-get > /dev/null || fail "no apt-get; install by hand: ${missing[*]}"

as_root=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo > /dev/null || fail "not root and no sudo. As root, run: apt-get install ${missing[*]}"
  # Without a terminal a password could never be given: refuse at once instead of hanging.
  if sudo -n true 2> /dev/null || [[ ! -t 0 ]]; then
    as_root=(sudo -n)
  else
    as_root=(sudo)
  fi
  "${as_root[@]}" true || fail "sudo did not work. As root, run: apt-get install ${missing[*]}"
fi

# A fresh postgresql-15 would create and start a cluster `main`; ours is private (dev-postgres.sh), so none is wanted. The
# drop-in lives only while apt runs: what this machine's owner installs later behaves as Debian documents it.
drop_in=/etc/postgresql-common/createcluster.d/zz-fleet-no-main-cluster.conf
remove_drop_in() {
  "${as_root[@]}" rm -f "$drop_in"
  "${as_root[@]}" rmdir --ignore-fail-on-non-empty /etc/postgresql-common/createcluster.d 2> /dev/null || true
}
if printf '%s\n' "${missing[@]}" | grep -qx postgresql-15; then
  trap remove_drop_in EXIT
  "${as_root[@]}" mkdir -p "${drop_in%/*}"
  printf 'create_main_cluster = false\n' | "${as_root[@]}" tee "$drop_in" > /dev/null
fi

# env behind sudo, because sudo drops the caller's variables. The lock time-out waits for another apt that is running.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -y -q
  -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold)
log=$(mktemp)
trap 'rm -f "$log"; [[ ! -e $drop_in ]] || remove_drop_in' EXIT

install_promtool() {
  local place code=0
  place=$(mktemp -d)
  chmod 755 "$place" # apt downloads as a user of its own
  (cd "$place" && apt-get -q download prometheus) && dpkg-deb --fsys-tarfile "$place"/prometheus_*.deb |
    tar -x -C "$place" ./usr/bin/promtool && "${as_root[@]}" install -m 755 "$place/usr/bin/promtool" /usr/local/bin/ || code=1
  rm -rf "$place"
  return $code
}

[[ ${#missing[@]} -eq 0 ]] || say "installing ${#missing[@]} packages: ${missing[*]}"
[[ $promtool == no ]] || say "installing promtool into /usr/local/bin"
for attempt in 1 2; do
  if "${apt[@]}" update < /dev/null > "$log" 2>&1 &&
    { [[ ${#missing[@]} -eq 0 ]] || "${apt[@]}" install --no-install-recommends "${missing[@]}" < /dev/null; } >> "$log" 2>&1 &&
    { [[ $promtool == no ]] || install_promtool; } >> "$log" 2>&1; then
    say "done"
    exit 0
  fi
  say "attempt $attempt failed"
done
tail -n 25 "$log" >&2
fail "apt could not install: ${missing[*]} (its last lines are above; is the network there, and does /etc/apt list Debian 12 \"main\"?)"
