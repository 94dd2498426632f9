// One proposal: what it changes, who voted how and why, which rule decided, each step, its metrics, its rollback.
import {ask, change, get, tell} from "./api.js";
import {chart} from "./chart.js";
import {changeView} from "./diff.js";
import {empty, h, part, table} from "./dom.js";
import {absolute, ago, chip, duration, number, percent, stateName, tone} from "./format.js";
import {json, keepLoading} from "./view.js";

const canRollBack = new Set(["executing", "watching", "confirmed"]);
const ended = new Set(["rejected", "confirmed", "rolled_back", "rollback_failed", "failed"]);

function fact(name, value) {
  return value === undefined || value === null || value === "" ? null : [h("dt", {}, name), h("dd", {}, value)];
}

/// The way that it went: each step with the time since the one before.
function way(story) {
  return h("ol", {class: "way"}, story.steps.map((step, at) => {
    const before = story.steps[at - 1];
    return h("li", {"data-tone": tone(step.state)},
      h("span", {class: "way-state"}, stateName(step.state)),
      h("span", {class: "way-time", title: absolute(step.at)},
        before ? `+${duration((Date.parse(step.at) - Date.parse(before.at)) / 1000)}` : ago(step.at)),
      h("span", {class: "way-cause"}, step.cause,
        step.cause.includes(step.actor) ? null : h("span", {class: "muted"}, `, by ${step.actor}`)));
  }));
}

/// A figure against the bound it had to reach.
function meter(name, value, bound, words) {
  const good = value >= bound - 1e-9;
  return h("div", {class: "meter", "data-tone": good ? "good" : "warn"},
    h("span", {class: "meter-name"}, name), h("span", {class: "meter-value"}, words),
    h("span", {class: "meter-track", "aria-hidden": "true"},
      h("span", {class: "meter-fill", style: {width: `${Math.min(100, value * 100)}%`}}),
      h("span", {class: "meter-bound", style: {left: `${Math.min(100, bound * 100)}%`}})));
}

function ratio(text) {
  const [over, under] = String(text).split("/").map(Number);
  return under ? over / under : over;
}

const ruleNames = {
  consensus: "Enough approvals with enough confidence", majority_reject: "More rejections than approvals",
  strong_rejection: "One rejection of high confidence", no_consensus: "All voted without agreement",
  timeout: "Time ran out", auto_approved: "Like changes confirmed safe before", not_required: "The safety profile needs no vote",
};

function decision({decision: decided, vote_list: votes, voters, rules, deadline, status}) {
  const counted = votes.filter((each) => each.counted);
  const approvals = counted.filter((each) => each.vote === "approve").length;
  const mean = counted.length ? counted.reduce((sum, each) => sum + each.confidence, 0) / counted.length : 0;
  const parts = [];
  if (decided) {
    parts.push(h("p", {class: "rule"}, chip(decided.status, decided.status === "approved" ? "good" : "calm"),
      h("strong", {}, ruleNames[decided.rule] ?? decided.rule), h("code", {}, decided.rule)),
    h("p", {}, decided.rationale));
  } else {
    parts.push(h("p", {class: "rule"}, chip(status), deadline ? h("span", {}, "open until ", absolute(deadline)) : "waits for voters"));
  }
  if (counted.length > 0) {
    const needed = rules.consensus.min_votes;
    parts.push(h("div", {class: "meters"},
      meter("Votes", Math.min(1, counted.length / Math.max(needed, voters.length)), Math.min(1, needed / Math.max(needed, voters.length)),
        `${counted.length} of ${voters.length}, at least ${needed}`),
      meter("Approvals", approvals / counted.length, ratio(rules.consensus.approval_ratio),
        `${approvals} of ${counted.length}, at least ${rules.consensus.approval_ratio}`),
      meter("Mean confidence", mean, rules.consensus.min_confidence,
        `${number(mean)}, at least ${number(rules.consensus.min_confidence)}`)),
    h("p", {class: "muted small"}, "Held against the rules as they are configured now."));
  }
  return parts;
}

function votesTable({vote_list: votes, voters}) {
  const silent = voters.filter((name) => !votes.some((each) => each.instance_id === name));
  if (votes.length === 0 && silent.length === 0) return h("p", {class: "muted"}, "Nobody was asked.");
  return table("Votes", [{title: "Instance"}, {title: "Vote"}, {title: "Confidence", numeric: true}, {title: "Reason", wide: true}, {title: "At"}],
    [...votes.map((each) => ({cells: [h("span", {class: "name"}, each.instance_id),
      chip(each.vote, each.vote === "approve" ? "good" : "warn"), percent(each.confidence),
      [each.reason || "no reason given", each.counted ? null : h("span", {class: "sub"}, `not counted: ${each.not_counted.replaceAll("_", " ")}`)],
      ago(each.received_at)]})),
    ...silent.map((name) => ({cells: [h("span", {class: "name"}, name), h("span", {class: "muted"}, "no vote"), "", "", ""]}))]);
}

const marked = new Set(["executing", "watching", "rollback_triggered", "rolled_back", "confirmed"]);

function curves({samples, change: run, steps, rules, status}, width) {
  const taken = samples.filter((each) => Object.keys(each.metrics_after).length > 0);
  if (taken.length === 0) {
    if (ended.has(status)) return empty("No samples", run ? "The instance reported none." : "The change was not carried out.");
    return empty("No samples yet", run ? "The instance reports them once the change is applied." : "Samples come once the change is carried out.");
  }
  const names = [...new Set(taken.flatMap((each) => Object.entries(each.metrics_after)
    .filter(([, value]) => typeof value === "number").map(([name]) => name)))].filter((name) => !name.endsWith("_n"));
  const ruled = (name) => rules.guardian.find((each) => each.metric === name);
  names.sort((a, b) => Boolean(ruled(b)) - Boolean(ruled(a)) || a.localeCompare(b));
  const events = steps.filter((each) => marked.has(each.state)).map((each) => ({at: Date.parse(each.at), text: stateName(each.state)}));
  return [
    h("p", {class: "legend"}, h("span", {}, h("span", {class: "key key-curve"}), "after"),
      h("span", {}, h("span", {class: "key key-before"}), "before the change"), h("span", {}, h("span", {class: "key key-limit"}), "bound"),
      h("span", {}, h("span", {class: "key-cross", "aria-hidden": "true"}, "×"), "breach"),
      h("span", {}, h("span", {class: "key key-event"}), events.map((each) => each.text).join(", "))),
    h("div", {class: "curves"}, names.map((metric) => chart({
      metric, width, events, rule: ruled(metric), baseline: run?.baseline?.[metric],
      points: taken.filter((each) => typeof each.metrics_after[metric] === "number").map((each) => ({
        at: Date.parse(each.reported_at), value: each.metrics_after[metric],
        breach: each.breaches.some((one) => one.reason === `${metric}_breach`)})),
    }))),
    h("p", {class: "muted small"}, "Bounds are drawn as they are configured now; a breach was judged by those of its time."),
    h("details", {"data-key": "samples"}, h("summary", {}, `The ${samples.length} samples as a table`),
      table("Samples", [{title: "At"}, {title: "Status"}, {title: "Values", wide: true}, {title: "Breaches"}], samples.map((each) => ({cells: [
        ago(each.received_at), each.status, Object.entries(each.metrics_after).map(([name, value]) => `${name} ${number(value)}`).join(", "),
        each.breaches.map((one) => one.reason.replaceAll("_", " ")).join(", ")]})))),
  ];
}

function rollbackPart({rollback}) {
  if (!rollback) return null;
  const {actual, severity, breaches, ...bounds} = rollback.threshold;
  const metric = Object.keys(bounds)[0];
  return h("section", {class: "panel"}, h("h2", {}, "Rollback"), h("dl", {class: "facts-list"},
    fact("Why", rollback.reason.replaceAll("_", " ")),
    metric && fact("Figure", `${metric} was ${number(actual)}, its bound ${number(bounds[metric])}${severity ? `, ${severity}` : ""}` +
      (breaches > 1 ? `, ${breaches} in a row` : "")),
    fact("Said", rollback.note), fact("By", rollback.actor), fact("Triggered", ago(rollback.triggered_at)),
    fact("Steps", (rollback.strategy.steps ?? []).map((each) => each.replaceAll("_", " ")).join(", then ")),
    fact("Asks for a person", rollback.strategy.requires_manual_intervention ? "yes" : null),
    fact("Outcome", [chip(rollback.outcome, rollback.outcome === "pending" ? "busy" : tone(rollback.outcome)),
      rollback.ended_at ? ` after ${duration((Date.parse(rollback.ended_at) - Date.parse(rollback.triggered_at)) / 1000)}` : ""])));
}

function facts(story) {
  return h("dl", {class: "facts-list"},
    fact("Proposed by", story.instance_id), fact("Agent type", story.agent_type), fact("Kind", story.change_type?.replaceAll("_", " ")),
    fact("Impact", number(story.impact_score)), fact("Risk", number(story.risk_score)), fact("Received", ago(story.received_at)),
    fact("Watched until", story.watch_until && absolute(story.watch_until)),
    fact("Expects", typeof story.expects === "object" ? JSON.stringify(story.expects) : story.expects),
    fact("Id", h("span", {class: "id"}, story.proposal_id)));
}

async function rollBack(id, again) {
  const done = await ask({
    title: "Roll this change back?",
    text: "The instance that applied it is told to revert it now. A change is rolled back once; this cannot be undone.",
    fields: [{name: "reason", label: "Reason, for the record", max: 500}],
    action: "Roll back",
    danger: true,
    done: ({reason}) => change("POST", `/v1/proposals/${encodeURIComponent(id)}/rollback`, {reason}),
  });
  if (done) tell("The rollback is triggered.");
  await again();
  if (done) document.getElementById("main").focus({preventScroll: true});  // the button has gone
}

const maxSamples = 1000;  // as many as the coordinator gives of one proposal

export function proposal(main, {argument: id}) {
  let status = "";
  let body;  // what was proposed cannot change: its code is read once, however long the change is watched
  let samples = [];  // nor can a sample: only new ones are asked for
  const button = h("button", {type: "button", class: "danger", hidden: true, onclick: () => rollBack(id, loading.again)}, "Roll back…");
  const head = part("div", {class: "proposal-head"}, (story) => [
    h("p", {class: "crumbs"}, h("a", {href: "#/proposals"}, "Proposals")),
    h("h1", {}, story.description || story.proposal_id), chip(story.status)]);
  const parts = {
    facts: part("section", {class: "panel", "aria-label": "Facts"}, facts),
    way: part("section", {class: "panel"}, (story) => [h("h2", {}, "Steps"), way(story)]),
    decision: part("section", {class: "panel"}, (story) => [h("h2", {}, "Decision"), decision(story), votesTable(story)]),
    curves: part("section", {class: "panel wide"}, (story) => [h("h2", {}, "Metrics"), curves(story, chartWidth())]),
    rollback: part("div", {}, rollbackPart),
    change: h("section", {class: "panel wide"}, h("h2", {}, "Change")),
    more: part("section", {class: "panel wide"}, (story) => [h("h2", {}, "For the record"),
      h("details", {"data-key": "profile"}, h("summary", {}, "Safety profile in force"), json(story.profile)),
      h("details", {"data-key": "audit"}, h("summary", {}, `Audit entries (${story.audit.length})`), json(story.audit))]),
  };
  const chartWidth = () => {
    const room = (parts.curves.element.clientWidth || main.clientWidth) - 34;
    const across = Math.max(1, Math.floor((room + 16) / 336));
    return Math.floor((room - 16 * (across - 1)) / across);
  };
  async function load() {
    const known = body ? `?code=false&samples_after=${samples.at(-1)?.sample_id ?? 0}` : "";
    const story = await get(`/v1/proposals/${encodeURIComponent(id)}${known}`);
    status = story.status;
    samples = [...samples, ...story.samples].slice(-maxSamples);
    story.samples = samples;
    if (!body) {
      body = story.proposal;
      parts.change.append(...changeView(body.code_change, body.preview, story.instance_id).flat().filter(Boolean));
    }
    // Each part gets what it shows and no more, so that it is drawn again only when that changed.
    const pick = (...names) => Object.fromEntries(names.map((name) => [name, story[name]]));
    head.show(pick("description", "proposal_id", "status"));
    parts.facts.show({...pick("proposal_id", "instance_id", "agent_type", "change_type", "impact_score", "risk_score", "received_at",
      "watch_until"), expects: body.metadata?.expected_improvement});
    parts.way.show(pick("steps"));
    parts.decision.show(pick("decision", "vote_list", "voters", "rules", "deadline", "status"));
    parts.curves.show(pick("samples", "change", "steps", "rules", "status"));
    parts.rollback.show(pick("rollback"));
    parts.more.show({profile: story.change?.profile ?? body.safety_profile, audit: story.audit});
    button.hidden = !canRollBack.has(status);
    grid.hidden = false;
  }
  const loading = keepLoading(load, {matters: (step) => step.proposal_id === id, gapMs: 300, everyMs: 2000,
    changing: () => !ended.has(status)});
  const grid = h("div", {class: "proposal", hidden: true}, h("div", {}, parts.facts.element, parts.way.element),
    h("div", {}, parts.decision.element, parts.rollback.element), parts.curves.element, parts.change, parts.more.element);
  main.append(h("div", {class: "heading"}, head.element, button), loading.error, grid);
  return loading;
}
