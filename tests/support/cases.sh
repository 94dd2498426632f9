# shellcheck shell=bash
# Cases of a shell test, counted as a Catch2 program counts its own: sourced by tests that are scripts.
passed=0 failed=0

# One case. Of one that fails, the last lines of what it printed.
check() { # name, command...
  local name=$1 output begun=$SECONDS
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
    printf 'ok %s (%s s)\n' "$name" $((SECONDS - begun))
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n%s\n' "$name" "$(tail -n 60 <<< "$output")"
  fi
}

# The last line, which tests/run.sh reads, and the exit code.
summary() {
  echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
  [[ $failed -eq 0 ]]
}
