#!/usr/bin/env bash
# Set-up, build and every test.
#   tests/run.sh [unit|integration|system|sql|checks|quickstart|all|package|image|failover]... [--preset release|debug-asan-ubsan|tsan] [--no-build]
# Prints a line a suite with its time, a failed suite's output, and last of all `N passed, N failed` (test cases).
# No part of `all`: `package`, the Debian package and the pages on a machine of their own (system/package/run.sh; root only), and `image`,
# the containers' images without a container engine (system/package/image.sh; the same).
# Exit 1 where a case failed or none ran. Works as root or as a user with sudo; its PostgreSQL is private (.dev-postgres) unless
# FLEET_TEST_DATABASE_URL names another. Logs: BUILD/test-logs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

all=(checks unit sql integration system quickstart)
parts=() preset=release build=yes
while [[ $# -gt 0 ]]; do
  case $1 in
    unit | integration | system | sql | checks | quickstart | package | image | failover) parts+=("$1") ;;
    all) parts+=("${all[@]}") ;;
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --preset=*) preset=${1#*=} ;;
    --no-build) build=no ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "tests/run.sh: unknown argument $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
[[ ${#parts[@]} -gt 0 ]] || parts=("${all[@]}")

# patience: sanitized programs are several times slower.
case $preset in
  release) build_dir=build patience=1 ;;
  debug-asan-ubsan) build_dir=build-asan patience=4 ;;
  tsan) build_dir=build-tsan patience=6 ;;
  *) echo "tests/run.sh: unknown preset $preset" >&2; exit 2 ;;
esac
bin=$root/$build_dir/bin
logs=$root/$build_dir/test-logs

now_ms() { local t=${EPOCHREALTIME//[.,]/}; echo $((t / 1000)); }
seconds() { printf '%d.%02d s' $(($1 / 1000)) $(($1 % 1000 / 10)); }
line() { printf '%-6s %-34s %9s  %s\n' "$1" "$2" "$3" "$4"; }

# A test must not depend on who runs it.
for variable in "${!PGFLOW_@}" INSTANCE_ID "${!PG@}" "${!GIT_@}"; do unset "$variable"; done
export LC_ALL=C.UTF-8 TZ=UTC
export FLEET_SOURCE_DIR=$root FLEET_BIN_DIR=$bin
export ASAN_OPTIONS=abort_on_error=0:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
# Threads that hang in a name look-up are left behind at the end, which is meant.
export TSAN_OPTIONS=halt_on_error=0:second_deadlock_stack=1:report_thread_leaks=0
export FLEET_TEST_PATIENCE=$patience
launcher=()
# ThreadSanitizer of g++ 12 cannot map its shadow where the kernel randomizes addresses by more than 28 bits.
[[ $preset != tsan ]] || launcher=(setarch "$(uname -m)" -R)

started=$(now_ms)
./deploy/install-deps.sh --tests
if [[ $build == yes ]]; then
  mkdir -p "$build_dir"
  step=$(now_ms)
  if ! { cmake --preset "$preset" && cmake --build --preset "$preset"; } > "$build_dir/build.log" 2>&1; then
    grep -E -A12 'error:|CMake Error|FAILED:' "$build_dir/build.log" | head -n 80 >&2 || true
    tail -n 5 "$build_dir/build.log" >&2
    line FAILED "build ($preset)" "$(seconds $(($(now_ms) - step)))" "log: $build_dir/build.log"
    echo "0 passed, 1 failed"
    exit 1
  fi
  line ok "build ($preset)" "$(seconds $(($(now_ms) - step)))" ""
fi
rm -rf "$logs"
mkdir -p "$logs"

# Each suite leaves NAME.log, and NAME.result: "passed failed milliseconds".
# Cases are counted from Catch2's last line, the whole suite as one case where there is none (a crash, a time-out).
suite() {
  local name=$1 limit=$2 begin code=0 passed=0 failed=0 summary child
  shift 2
  begin=$(now_ms)
  # In the background, because a trap (Ctrl-C) has to wait for a program in the foreground, but not for `wait`.
  timeout --kill-after=20 $((limit * patience)) "${launcher[@]}" "$@" > "$logs/$name.log" 2>&1 < /dev/null &
  child=$!
  echo "$child" > "$logs/$name.pid"
  wait "$child" 2> /dev/null || code=$?
  rm -f "$logs/$name.pid"
  summary=$(grep -E '^(All tests passed|test cases:)' "$logs/$name.log" | tail -n 1) || true
  if [[ $summary =~ in\ ([0-9]+)\ test\ case ]]; then
    passed=${BASH_REMATCH[1]}
  elif [[ -n $summary ]]; then
    if [[ $summary =~ \|\ *([0-9]+)\ passed ]]; then passed=${BASH_REMATCH[1]}; fi
    if [[ $summary =~ \|\ *([0-9]+)\ failed ]]; then failed=${BASH_REMATCH[1]}; fi
  fi
  if [[ $code -ne 0 && $failed -eq 0 ]]; then failed=1; fi
  if [[ $code -eq 0 && $passed -eq 0 ]]; then
    failed=1
    echo "no test ran" >> "$logs/$name.log"
  fi
  if [[ $code -eq 124 || $code -eq 137 ]]; then echo "stopped after $((limit * patience)) s" >> "$logs/$name.log"; fi
  echo "$passed $failed $(($(now_ms) - begin))" > "$logs/$name.result"
}

total_passed=0 total_failed=0
report() {
  local name=$1 passed failed took
  read -r passed failed took < "$logs/$name.result"
  total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed))
  if [[ $failed -eq 0 ]]; then
    line ok "$name" "$(seconds "$took")" "$passed passed"
  else
    tail -n 200 "$logs/$name.log" | sed 's/^/    /'
    line FAILED "$name" "$(seconds "$took")" "$passed passed, $failed failed"
  fi
}

# `timeout` passes the signal on to all that a suite started.
postgres_started=no
clean_up() {
  local pid_file
  for pid_file in "$logs"/*.pid; do
    [[ ! -e $pid_file ]] || kill "$(cat "$pid_file")" 2> /dev/null || true
  done
  [[ $postgres_started == no ]] || ./deploy/dev-postgres.sh stop || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

need_postgres() {
  [[ -z ${FLEET_TEST_DATABASE_URL:-} ]] || return 0
  if ! ./deploy/dev-postgres.sh status > /dev/null 2>&1; then
    postgres_started=yes
    ./deploy/dev-postgres.sh start --fast
  fi
  # For SQL cases with a second session; only a superuser may create it, so it comes with each new database.
  ./deploy/dev-postgres.sh psql --admin -- -q -d template1 -c 'set client_min_messages = warning' -c 'create extension if not exists dblink'
  FLEET_TEST_DATABASE_URL=$(./deploy/dev-postgres.sh url)
  export FLEET_TEST_DATABASE_URL
}

run_checks() {
  suite checks 300 ./tests/checks.sh
  report checks
}

run_unit() {
  local program running=0 names=() name
  for program in "$bin"/unit_*; do
    [[ -x $program ]] || continue
    names+=("${program##*/}")
    while ((running >= $(nproc))); do
      wait -n || true
      running=$((running - 1))
    done
    suite "${program##*/}" 180 "$program" &
    running=$((running + 1))
  done
  wait
  for name in "${names[@]}"; do report "$name"; done
}

# The cases of a program in two halves side by side, dealt out by file: both wait most of the time, and each has a server of its own.
run_halves() { # name, seconds
  local program=$bin/$1 half files cases
  if [[ ! -x $program ]]; then
    echo "0 1 0" > "$logs/$1.result"
    echo "$program was not built" > "$logs/$1.log"
    report "$1"
    return
  fi
  files=$("${launcher[@]}" "$program" --filenames-as-tags --list-tags | grep -o '\[#[^]]*\]') || true # it exits with their number
  for half in 0 1; do
    cases=$(awk -v half=$half 'NR % 2 == half' <<< "$files" | paste -sd,)
    suite "$1-$((half + 1))" "$2" "$program" --filenames-as-tags "$cases" &
  done
  wait
  for half in 1 2; do report "$1-$half"; done
}

for part in "${parts[@]}"; do
  case $part in
    checks) run_checks ;;
    unit) run_unit ;;
    integration) run_halves integration_tests 600 ;;
    system) # side by side, as the halves are
      suite fault_tests 600 "$bin/fault_tests" &
      run_halves system_tests 900
      report fault_tests ;;
    quickstart) # it builds the release, and nothing else
      [[ $preset == release ]] || continue
      suite quickstart 300 ./tests/system/quickstart.sh
      report quickstart ;;
    package)
      ./deploy/install-deps.sh --package
      suite package 1200 ./tests/system/package/run.sh
      report package ;;
    image)
      ./deploy/install-deps.sh --package
      suite image 1800 ./tests/system/package/image.sh
      report image ;;
    failover) # not in `all`: over a minute, and packages that nothing else needs
      suite failover 300 ./tests/system/failover/run.sh
      report failover ;;
    sql)
      need_postgres
      suite sql 300 ./tests/sql/run.sh
      report sql ;;
  esac
done

line "" "everything" "$(seconds $(($(now_ms) - started)))" "logs: $build_dir/test-logs"
echo "$total_passed passed, $total_failed failed"
[[ $total_failed -eq 0 && $total_passed -gt 0 ]]
