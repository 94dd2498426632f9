// Alerts: what is wrong now, and since when.
import {get} from "./api.js";
import {empty, h, part} from "./dom.js";
import {ago, chip, number} from "./format.js";
import {heading, json, keepLoading} from "./view.js";

const told = new Set(["name", "severity", "state", "since", "text", "subject", "value", "bound", "seen_at", "cleared_at", "cleared_by", "alert_id"]);
const tones = {critical: "bad", high: "bad", page: "bad", medium: "warn", warning: "warn"};

/// What an alert is about, as a way to it: a queue, an instance, or else a proposal.
function subject({name, subject: about}) {
  if (!about) return null;
  const id = encodeURIComponent(about);
  const href = ["dead_letters", "queue_latency"].includes(name) ? `#/queues/${id}`
    : name.startsWith("instance_") ? "#/instances" : name === "test" ? null : `#/proposals/${id}`;
  return href ? h("a", {class: "id", href, "data-key": `s-${name}-${about}`}, about) : h("span", {class: "id"}, about);
}

/// The section of the runbook is the alert's name in capitals, as Prometheus writes it; metrics' breaches share one.
function section(name) {
  return name.endsWith("_breach") ? "Breach" : name.replace(/(^|_)([a-z])/g, (all, gap, letter) => letter.toUpperCase());
}

function alert(each) {
  const rest = Object.fromEntries(Object.entries(each).filter(([name, value]) => !told.has(name) && value !== null));
  return h("li", {class: "message", "data-tone": tones[each.severity] ?? "calm"},
    h("p", {class: "message-head"}, chip(each.severity ?? "alert", tones[each.severity] ?? "calm"),
      h("strong", {}, String(each.name ?? "alert").replaceAll("_", " ")),
      subject(each),
      each.since ? h("span", {}, "since ", ago(each.since)) : null,
      each.cleared_at ? h("span", {}, "cleared ", ago(each.cleared_at), each.cleared_by ? ` by ${each.cleared_by}` : "") : null),
    h("p", {class: "reason"}, each.text ?? ""),
    each.value === undefined || each.value === null ? null
      : h("p", {class: "muted"}, `At ${number(each.value)}${each.bound === undefined || each.bound === null ? "" : `, the bound is ${number(each.bound)}`}.`),
    each.name && !each.cleared_at ? h("p", {class: "muted"}, "What to do: ", h("code", {}, `deploy/runbook.md#${section(each.name).toLowerCase()}`)) : null,
    Object.keys(rest).length ? h("details", {"data-key": `a-${each.name}-${each.subject}`}, h("summary", {}, "More"), json(rest)) : null);
}

export function alerts(main) {
  const list = part("div", {}, ({now, before, missing}) => missing
    ? empty("This coordinator raises no alerts", "Its figures are at /metrics for Prometheus; the overview says what needs you.")
    : [now.length ? h("ol", {class: "messages"}, now.map(alert))
      : empty("No alerts", "Nothing is wrong that a rule looks for."),
    before.length ? [h("h2", {}, "Cleared"), h("ol", {class: "messages"}, before.map(alert))] : null]);
  const loading = keepLoading(async () => {
    let all;
    try {
      ({alerts: all} = await get("/v1/alerts?recent=true"));
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      list.show({now: [], before: [], missing: true});
      return;
    }
    list.show({now: all.filter((each) => !each.cleared_at), before: all.filter((each) => each.cleared_at), missing: false});
  }, {everyMs: 5000});
  main.append(heading("Alerts"), loading.error, list.element);
  return loading;
}
