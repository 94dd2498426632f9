// What is held of each agent type: the bounds that override those a proposal brings.
import {get} from "./api.js";
import {empty, part, table} from "./dom.js";
import {ago, chip, number} from "./format.js";
import {heading, keepLoading} from "./view.js";

const known = [["success_rate", "Success at least"], ["error_threshold", "Errors at most"], ["latency_threshold", "p95 ms at most"],
  ["cost_threshold", "Cents at most"], ["max_error_count", "More errors, at most"], ["needs_consensus", "Needs a vote"],
  ["auto_rollback", "Rolls back by itself"], ["observation_window_seconds", "Watched, s"],
  ["max_blast_radius", "Blast radius at most"]];

function shown(value) {
  if (value === undefined || value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "string" ? value : number(value);
}

export function profiles(main) {
  const list = part("div", {}, (all) => {
    if (all.length === 0) {
      return empty("No safety profiles are held", "Until the Guardian has learned from confirmed changes of an agent type, the profile that a " +
        "proposal brings counts, with the configured rules behind it.");
    }
    const used = known.filter(([name]) => all.some((each) => each.profile[name] !== undefined));
    return table("Safety profiles", [{title: "Agent type", wide: true}, {title: "Instance"}, ...used.map(([, title]) => ({title, numeric: true})),
      {title: "Source"}, {title: "Updated"}],
    all.map((each) => ({key: `${each.instance_id ?? ""}/${each.agent_type}`, cells: [each.agent_type, each.instance_id ?? "all", ...used.map(([name]) => shown(each.profile[name])),
      chip(each.source, "calm"), ago(each.updated_at)]})));
  });
  const loading = keepLoading(async () => list.show((await get("/v1/safety-profiles")).safety_profiles), {everyMs: 10000});
  main.append(heading("Safety profiles"), loading.error, list.element);
  return loading;
}
