// Patterns that instances found, and how far each has come.
import {get} from "./api.js";
import {empty, h, part} from "./dom.js";
import {ago, chip, count, percent} from "./format.js";
import {heading, json, keepLoading} from "./view.js";

const shown = 100;
const tones = {observed: "calm", confirmed: "good", promoted: "good"};

function side(title, text) {
  return text ? h("div", {}, h("h3", {}, title), h("pre", {class: "snippet", tabindex: "0", role: "region", "aria-label": title}, text)) : null;
}

function pattern(each) {
  const {before, after, ...rest} = each.code_pattern;
  return h("li", {class: "message"},
    h("p", {class: "message-head"}, chip(each.state, tones[each.state]), h("strong", {}, each.description || each.pattern_type),
      h("span", {}, each.pattern_type.replaceAll("_", " ")), "last seen ", ago(each.last_seen_at)),
    h("p", {}, `${count(each.instances)} ${each.instances === 1 ? "instance" : "instances"} (${(each.source_instances ?? []).join(", ")}), ` +
      `success ${percent(each.success_rate)}, used ${each.usage_count === 1 ? "once" : `${count(each.usage_count)} times`}`),
    h("details", {"data-key": each.pattern_id}, h("summary", {}, "The code"),
      h("div", {class: "sides"}, side("Before", typeof before === "string" ? before : before && JSON.stringify(before, null, 2)),
        side("After", typeof after === "string" ? after : after && JSON.stringify(after, null, 2))),
      Object.keys(rest).length > 1 ? json(rest) : null));
}

export function patterns(main) {
  const list = part("div", {}, (all) => all.length ? h("ol", {class: "messages"}, all.map(pattern))
    : empty("No patterns yet", "An instance reports what worked over its local API (POST /v1/patterns), or by hand:",
      h("code", {}, "singularity_agent pattern pattern.json")));
  const loading = keepLoading(async () => list.show((await get(`/v1/patterns?limit=${shown}`)).patterns), {everyMs: 5000});
  main.append(heading("Patterns"), h("p", {class: "muted"},
    "The same pattern from several instances is one. It is confirmed and sent to all when enough of them report success; the newest 100."),
  loading.error, list.element);
  return loading;
}
