// The front page: how the fleet is, in a sentence; the message flow; the pipeline; what happened last.
import {get} from "./api.js";
import {bars} from "./chart.js";
import {h, part, replace} from "./dom.js";
import {flow, queueTitle, slowSeconds, unread} from "./flow.js";
import {ago, chip, count, duration, now, proposalLink, tone} from "./format.js";
import {live} from "./live.js";
import {keepLoading} from "./view.js";

const newestSteps = 10;
const countEnd = 10000;  // counts end there
const shownAlerts = 3;

/// The most urgent facts first; nothing to say is good news, and said.
function verdict({queues, instances, pipeline}) {
  const facts = [];
  const link = (href, text) => h("a", {href, "data-key": `fact-${text}`}, text);
  const dead = queues.reduce((sum, each) => sum + each.dlq, 0);
  if (pipeline.rollback_failed > 0) {
    facts.push({tone: "bad", text: link("#/proposals?status=rollback_failed",
      `${count(pipeline.rollback_failed)} ${pipeline.rollback_failed === 1 ? "change" : "changes"} could not be taken back`)});
  }
  const alerts = live.alerts ?? [];
  for (const {name, text, subject} of alerts.slice(0, shownAlerts)) {
    const words = text ?? name.replaceAll("_", " ");
    facts.push({tone: "bad", text: link("#/alerts", subject && !words.includes(subject) ? `${subject}: ${words}` : words)});
  }
  if (alerts.length > shownAlerts) facts.push({tone: "bad", text: link("#/alerts", `${count(alerts.length - shownAlerts)} more alerts`)});
  if (instances.registered > 0 && instances.fresh === 0) facts.push({tone: "bad", text: link("#/instances", "no instance is live")});
  else if (instances.fresh < instances.registered) {
    const gone = instances.registered - instances.fresh;
    facts.push({tone: "warn", text: link("#/instances", `${count(gone)} of ${count(instances.registered)} instances not heard of`)});
  }
  if (dead > 0 && !alerts.some((each) => each.name === "dead_letters")) facts.push({tone: "warn", text: link("#/dead-letters", `${count(dead)} dead ${dead === 1 ? "letter" : "letters"}`)});
  const slow = queues.filter((each) => !unread(each) && each.oldest_age_seconds > slowSeconds)
    .sort((a, b) => b.oldest_age_seconds - a.oldest_age_seconds)[0];
  if (slow) {
    facts.push({tone: "warn", text: link(`#/queues/${slow.queue_name}`,
      `${queueTitle(slow.queue_name).toLowerCase()} wait up to ${duration(slow.oldest_age_seconds)}`)});
  }
  return facts;
}

function headline(overview) {
  const {instances, pipeline} = overview;
  const facts = verdict(overview);
  const busy = pipeline.voting + pipeline.executing + pipeline.watching + pipeline.rollback_triggered;
  const work = busy > 0 ? `${count(busy)} ${busy === 1 ? "change" : "changes"} under way` : "no change under way";
  const quiet = instances.registered === 0 ? "Waiting for the first instance"
    : `All well: ${count(instances.fresh)} ${instances.fresh === 1 ? "instance" : "instances"} live, ${work}`;
  if (facts.length === 0) {
    return [h("h1", {class: "verdict", "data-tone": "good"}, quiet),
      instances.registered === 0 && h("p", {}, "Enroll one with ", h("code", {}, "centralcloud_daemon enroll NAME"),
        ", put what it prints into its configuration, and start ", h("code", {}, "singularity_agent run"), ".")];
  }
  const worst = facts.some((each) => each.tone === "bad") ? "bad" : "warn";
  return [h("h1", {class: "verdict", "data-tone": worst}, worst === "bad" ? "Needs you" : "Worth a look"),
    h("ul", {class: "facts"}, facts.map((each) => h("li", {"data-tone": each.tone}, each.text))),
    h("p", {class: "muted"}, `${count(instances.fresh)} of ${count(instances.registered)} instances live, ${work}.`)];
}

const stages = [
  {title: "Voting", states: ["voting"]},
  {title: "Approved", states: ["approved"], list: "not_begun", note: "not begun"},
  {title: "Executing", states: ["executing"]},
  {title: "Watched", states: ["watching"]},
  {title: "Confirmed", states: ["confirmed"], note: "24 h"},
];
const exits = [
  {title: "Rejected", states: ["rejected"], note: "24 h"},
  {title: "Rolling back", states: ["rollback_triggered"]},
  {title: "Rolled back", states: ["rolled_back"], note: "24 h"},
  {title: "Rollback failed", states: ["rollback_failed"], note: "24 h"},
  {title: "Failed", states: ["failed"], note: "24 h"},
];

function stage(pipeline, {title, states, list = states[0], note}) {
  const n = states.reduce((sum, each) => sum + (pipeline[each] ?? 0), 0);
  const text = n >= countEnd ? `${count(countEnd)}+` : count(n);
  return h("li", {}, h("a", {class: "stage", href: `#/proposals?status=${list}`, "data-key": `stage-${states[0]}`,
    "data-tone": n > 0 ? tone(states[0]) : "none"},
  h("span", {class: "stage-count"}, text), h("span", {class: "stage-title"}, title),
  note && h("span", {class: "stage-note"}, note)));
}

function stepRow(step) {
  return h("li", {}, ago(step.at), h("span", {}, chip(step.state)),
    h("span", {class: "step-text"}, proposalLink(step.proposal_id, step.description, `step-${step.at}-${step.proposal_id}`),
      h("span", {class: "muted"}, step.state === "received" ? ` ${step.cause}` : ` by ${step.actor}`)));
}

export function overview(main) {
  const top = part("section", {class: "top-facts", "aria-label": "State of the fleet"}, headline);
  top.element.append(h("h1", {class: "verdict", "data-tone": "none"}, "Reading the figures…"));
  const picture = flow();
  const pipe = part("div", {}, (pipeline) => [
    h("ol", {class: "stages"}, stages.map((each) => stage(pipeline, each))),
    h("ul", {class: "stages exits", "aria-label": "Ways out"}, exits.map((each) => stage(pipeline, each)))]);
  const chart = h("div", {class: "activity-frame"});
  const feed = h("ol", {class: "feed"});
  let steps = [];

  function showSteps() {
    replace(feed, steps.length ? steps.map(stepRow)
      : h("li", {class: "muted"}, "Nothing has happened yet. A first proposal: ",
        h("code", {}, "singularity_agent propose proposal.json --wait")));
  }
  function show() {
    if (!live.overview) return;
    const {queues, instances, pipeline} = live.overview;
    top.show({queues: queues.map((each) => ({queue_name: each.queue_name, dlq: each.dlq, readers: each.readers,
      oldest_age_seconds: each.oldest_age_seconds > slowSeconds ? Math.round(each.oldest_age_seconds) : 0})),
    instances, pipeline, alerts: live.alerts?.length});
    pipe.show(pipeline);
    picture.show();
  }
  async function load() {
    const activity = await get("/v1/activity");
    steps = activity.steps.reverse().slice(0, newestSteps);
    showSteps();
    const width = Math.max(260, chart.clientWidth);
    replace(chart, bars(activity.minutes, now(), width));
  }
  const loading = keepLoading(load, {everyMs: 20000, matters: () => true, gapMs: 3000});
  const onSteps = (event) => {
    steps = [...event.detail.slice().reverse(), ...steps].slice(0, newestSteps);
    showSteps();
  };
  for (const name of ["overview", "state", "alerts"]) live.addEventListener(name, show);
  live.addEventListener("steps", onSteps);
  main.append(top.element, loading.error,
    h("div", {class: "columns"},
      h("section", {class: "panel"}, h("h2", {}, "Message flow"), picture.element),
      h("div", {},
        h("section", {class: "panel"}, h("h2", {}, "Proposals"), pipe.element, chart),
        h("section", {class: "panel"}, h("h2", {}, "Latest steps"), feed))));
  show();
  return {
    end() {
      loading.end();
      picture.end();
      for (const name of ["overview", "state", "alerts"]) live.removeEventListener(name, show);
      live.removeEventListener("steps", onSteps);
    },
  };
}
