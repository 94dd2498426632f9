# The three changes that the quickstart shows. Each step is checked against the agent, the coordinator and git itself.
# Sourced by quickstart.sh.
# shellcheck shell=bash

run_id=$(date -u +%Y%m%d-%H%M%S)
profile='{"success_rate": 0.90, "error_threshold": 0.10, "latency_threshold": 3000, "cost_threshold": 10, "needs_consensus": true,
  "max_blast_radius": 1.0, "auto_rollback": true, "max_error_count": 100, "observation_window_seconds": 4}'

# propose INSTANCE ID: submits $home/INSTANCE/ID.json and remembers the time.
propose() {
  story_instance=$1 story_id=$2 story_begun=$(now_ms)
  agent "$1" propose "$home/$1/$2.json" --json > "$home/logs/step.log" 2>&1 ||
    { cat "$home/logs/step.log" >&2; fail "the proposal was refused"; }
  done_line "$1 proposes $2" "$(elapsed "$story_begun")"
}

agent_states() { agent_get "$story_instance" "/v1/proposals/$story_id" | jq -r '.history[]? | (.status // .to // .to_status // empty)'; }
agent_reached() { agent_states | grep -qx -- "$1"; }
coordinator_story() { coordinator_get "/v1/proposals/$story_id"; }
coordinator_reached() { coordinator_story | jq -e --arg s "$1" '.status == $s or .change.status? == $s' > /dev/null; }

# expect_state STATE SECONDS TEXT [LINE]: waits until the agent's proposal went through STATE.
expect_state() {
  wait_until "$2" agent_reached "$1" ||
    fail "$story_id did not become $1 within $2 s; its states: $(agent_states 2> /dev/null | paste -sd ' ' || true)"
  "${4:-done_line}" "$3" "$(elapsed "$story_begun")"
}

show_votes() {
  local votes
  votes=$(coordinator_story | jq -r '.vote_list[] | "\(.instance_id): \(.vote), confidence \(.confidence) - \(.reason // "")"')
  [[ $(wc -l <<< "$votes") -eq 3 ]] || fail "three instances should have voted on $story_id; the votes: $votes"
  while read -r line; do note "${line:0:110}"; done <<< "$votes"
}

measured() { deploy/quickstart/measure.sh "$home/$1/repo" | jq -r '"\(.success_rate * 100 | round) % answered, p95 \(.latency_p95_ms) ms"'; }

# body ID IMPACT RISK CHANGE-TYPE DESCRIPTION < code_change
body() {
  jq --arg id "$1" --argjson impact "$2" --argjson risk "$3" --arg type "$4" --arg text "$5" --argjson profile "$profile" \
    '{proposal_id: $id, agent_type: "OptimizationAgent", code_change: ., impact_score: $impact, risk_score: $risk,
      safety_profile: $profile, metadata: {change_type: $type, description: $text}}'
}

# Both changes are made by really editing the service, so that they are what git would show.
service_with() { sed "$1" "$root/deploy/quickstart/service/service.sh"; }

good_change() {
  title "1. A good change: look prices up with grep instead of a loop"
  local id=good-$run_id commit
  note "before: $(measured alpha)"
  # shellcheck disable=SC2016
  service_with '/^find_price()/,/^}/c find_price() { grep -m 1 -- "^$1 " "$prices" | cut -d " " -f 2; }' |
    jq -Rs '{files: {"service.sh": .}, message: "Look prices up with grep"}' |
    body "$id" 8 2 pattern_enhancement "Look prices up with grep instead of a shell loop" > "$home/alpha/$id.json"
  propose alpha "$id"
  expect_state sent_for_consensus 10 "sent to the vote"
  expect_state consensus_reached 20 "three instances voted: approved"
  show_votes
  expect_state applied 20 "applied and verified"
  commit=$(own_git alpha log -1 --format='%h %s (%(trailers:key=Proposal-Id,separator=%x2C))')
  [[ $commit == *"Proposal-Id: $id"* ]] || fail "the last commit of alpha does not carry the proposal: $commit"
  own_git alpha show HEAD:service.sh | grep -q 'grep -m 1' || fail "alpha's service.sh is not the proposed one"
  note "git: $commit"
  note "after: $(measured alpha)"
  wait_until 30 coordinator_reached confirmed || fail "the change was not confirmed within 30 s"
  done_line "watched for 4 s without a breach: confirmed" "$(elapsed "$story_begun")"
}

harmful_change() {
  title "2. A harmful change: passes its checks, fails its users"
  local id=harmful-$run_id before
  before=$(own_git beta rev-parse HEAD)
  # A patch against the commit that is there. It reads only the first lines of the price list, which check.sh does not notice.
  sed -i "s/^rows=.*/rows=20/" "$home/beta/repo/settings.conf"
  own_git beta diff | jq -Rs --arg base "$before" '{patch: ., base: $base, message: "Read fewer rows"}' |
    body "$id" 7 3 cache_improvement "Read only the rows that are asked for most" > "$home/beta/$id.json"
  own_git beta checkout -q -- settings.conf
  propose beta "$id"
  expect_state consensus_reached 20 "three instances voted: approved"
  show_votes
  expect_state applied 20 "applied and verified"
  expect_state rolled_back 30 "metrics breached: rolled back" back_line
  coordinator_story | jq -r '[.. | objects | select(.reason? and .threshold?)][0] // empty | "reason: \(.reason), \(.threshold | tojson)"' |
    while read -r line; do note "${line:0:110}"; done
  own_git beta diff --quiet "$before" HEAD || fail "beta's content is not what it was before"
  [[ -z $(own_git beta status --porcelain) ]] || fail "beta's work tree is not clean"
  [[ $(own_git beta rev-list --count "$before..HEAD") -ge 2 ]] || fail "beta has no commit and revert: the change never was there"
  done_line "content equal to before, in $(own_git beta rev-list --count "$before..HEAD") commits of history" "$(elapsed "$story_begun")"
  note "after: $(measured beta)"
}

poor_change() {
  title "3. A poor change: high risk, little use"
  local id=poor-$run_id before
  before=$(own_git gamma rev-parse HEAD)
  jq -n '{files: {"prices.txt": null, "service.sh": "#!/bin/sh\necho 1\n"}}' |
    body "$id" 2 9.5 code_refactoring "Drop the price list and answer 1 to everything" > "$home/gamma/$id.json"
  propose gamma "$id"
  expect_state consensus_failed 40 "voted down"
  show_votes
  [[ $(own_git gamma rev-parse HEAD) == "$before" && -z $(own_git gamma status --porcelain) ]] || fail "gamma's repository was touched"
  done_line "repository untouched" "$(elapsed "$story_begun")"
}
