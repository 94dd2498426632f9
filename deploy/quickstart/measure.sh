#!/usr/bin/env bash
# The metrics of a price service, measured by using it: asks for articles all over the list and prints one JSON object.
#   measure.sh REPOSITORY
set -uo pipefail
service=$1/service.sh
requests=10 failed=0 times=()
for ((i = 0; i < requests; i++)); do
  article=article-$((RANDOM % 1000 + 1))
  begun=${EPOCHREALTIME//[.,]/}
  "$service" "$article" > /dev/null 2>&1 || failed=$((failed + 1))
  times+=($((${EPOCHREALTIME//[.,]/} - begun)))
done
p95_us=$(printf '%s\n' "${times[@]}" | sort -n | sed -n "$(((requests * 95 + 99) / 100))p")
printf '{"success_rate": %d.%02d, "error_rate": %d.%02d, "success_rate_n": %d, "error_rate_n": %d, "latency_p95_ms": %d.%d, "error_count": %d, "execution_count": %d}\n' \
  $(((requests - failed) / requests)) $(((requests - failed) * 100 / requests % 100)) $((failed / requests)) $((failed * 100 / requests % 100)) \
  "$requests" "$requests" $((p95_us / 1000)) $((p95_us % 1000 / 100)) "$failed" "$requests"
