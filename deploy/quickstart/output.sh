# What the quickstart prints: aligned lines, each with the time its step took. Sourced by quickstart.sh.
# shellcheck shell=bash

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' yellow=$'\e[33m' plain=$'\e[0m'
else
  bold='' dim='' green='' red='' yellow='' plain=''
fi

now_ms() { local t=${EPOCHREALTIME//[.,]/}; echo $((t / 1000)); }
script_started=$(now_ms)
elapsed() {
  local ms=$(($(now_ms) - $1))
  if ((ms < 1000)); then echo "$ms ms"; else printf '%d.%02d s\n' $((ms / 1000)) $((ms % 1000 / 10)); fi
}

title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
note() { printf '    %s%s%s\n' "$dim" "$*" "$plain"; }
# On a terminal a running step is shown without its time; its end writes over it.
begin_line() { [[ ! -t 1 ]] || printf '  %s… %s%s' "$dim" "$1" "$plain"; }
over=''
[[ ! -t 1 ]] || over=$'\r\e[K'
done_line() { printf '%s  %s✓%s %-58s %s%10s%s\n' "$over" "$green" "$plain" "$1" "$dim" "$2" "$plain"; }
back_line() { printf '  %s↺%s %-58s %s%10s%s\n' "$yellow" "$plain" "$1" "$dim" "$2" "$plain"; }
fail() {
  printf '  %s✗ %s%s\n' "$red" "$*" "$plain" >&2
  exit 1
}

# step NAME COMMAND...: runs it, prints its name and time; its own output is shown only where it fails. A function run by it must
# chain its commands with &&: `set -e` does not hold inside a command whose status is looked at.
step() {
  local name=$1 begun code=0
  shift
  begun=$(now_ms)
  begin_line "$name"
  "$@" > "$home/logs/step.log" 2>&1 8>&- || code=$?
  if [[ $code -ne 0 ]]; then
    tail -n 40 "$home/logs/step.log" >&2
    fail "$name failed after $(elapsed "$begun")"
  fi
  done_line "$name" "$(elapsed "$begun")"
}

show_logs() {
  local log
  for log in "$home"/logs/{centralcloud_daemon,alpha,beta,gamma}.log; do
    [[ -s $log ]] || continue
    printf '\n%s last lines of %s%s\n' "$dim" "$log" "$plain" >&2
    tail -n 15 "$log" >&2
  done
}

# wait_until SECONDS COMMAND...: polls; fails when the time is over.
wait_until() {
  local end=$(($(now_ms) + $1 * 1000))
  shift
  until "$@" > /dev/null 2>&1; do
    (($(now_ms) < end)) || return 1
    sleep 0.05
  done
}
