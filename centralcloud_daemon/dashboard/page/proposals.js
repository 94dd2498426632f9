// Proposals, newest first, by state; a page at a time, so that ten thousand cost no more than fifty.
import {get} from "./api.js";
import {empty, h, replace, table} from "./dom.js";
import {ago, chip, number, proposalLink, stateName} from "./format.js";
import {heading, keepLoading, pages} from "./view.js";

const size = 50;
const states = ["voting", "approved", "not_begun", "executing", "watching", "confirmed", "rejected", "rollback_triggered", "rolled_back",
  "rollback_failed", "failed"];

const columns = [{title: "Change", wide: true}, {title: "State"}, {title: "Instance"}, {title: "Agent type"},
  {title: "Votes", numeric: true}, {title: "Impact", numeric: true}, {title: "Risk", numeric: true}, {title: "Received"}];

function row(each) {
  return {
    key: each.proposal_id,
    cells: [
      [proposalLink(each.proposal_id, each.description),
        each.rollback_reason ? h("span", {class: "sub"}, each.rollback_reason.replaceAll("_", " ")) : null],
      chip(each.status), h("span", {class: "name"}, each.instance_id), each.agent_type,
      `${each.votes} of ${each.electorate}`, number(each.impact_score), number(each.risk_score), ago(each.received_at),
    ],
  };
}

export function proposals(main, {query}) {
  const status = query.get("status") ?? "";
  const list = h("div");
  const filter = h("ul", {class: "filter", "aria-label": "State"}, ["", ...states].map((each) => h("li", {},
    h("a", {href: each ? `#/proposals?status=${each}` : "#/proposals", "aria-current": each === status ? "true" : null},
      each ? stateName(each) : "all"))));
  const jump = h("form", {class: "jump", role: "search"},
    h("label", {}, h("span", {class: "unseen"}, "Proposal id"), h("input", {name: "id", placeholder: "Go to a proposal id",
      required: true, autocomplete: "off", spellcheck: "false"})), h("button", {class: "quiet"}, "Go"));
  jump.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/proposals/${encodeURIComponent(new FormData(jump).get("id").trim())}`;
  });
  const paged = pages({
    size,
    keyOf: (each) => each.proposal_id,
    fetchPage: async (after) => {
      const search = new URLSearchParams({limit: size});
      if (status) search.set("status", status);
      if (after) search.set("after", after);
      return (await get(`/v1/proposals?${search}`)).proposals;
    },
    draw: (rows) => replace(list, rows.length > 0 ? table("Proposals", columns, rows.map(row))
      : status ? empty(`No proposal is ${stateName(status)}`, h("a", {href: "#/proposals"}, "Show all"))
        : empty("No proposals yet", "An instance's agents propose over its local API, or by hand:",
          h("code", {}, "singularity_agent propose proposal.json --wait"))),
  });
  const loading = keepLoading(paged.load, {matters: () => true, gapMs: 1500});
  main.append(heading("Proposals", jump), filter, loading.error, list, paged.more);
  return loading;
}
