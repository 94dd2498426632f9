// The queues in figures, and what waits in one.
import {get} from "./api.js";
import {empty, h, part, replace, table} from "./dom.js";
import {queues as known, queueTitle, queueTone, waitingText} from "./flow.js";
import {ago, chip, count, duration, rate} from "./format.js";
import {live} from "./live.js";
import {heading, json, keepLoading} from "./view.js";

const shownMessages = 50;
const columns = [{title: "Queue", wide: true}, {title: "Published", numeric: true}, {title: "Waiting", numeric: true}, {title: "Oldest", numeric: true},
  {title: "Retrying", numeric: true}, {title: "Dead", numeric: true}, {title: "Readers", numeric: true},
  {title: "Published, all", numeric: true}, {title: "Consumed, all", numeric: true}, {title: "Purged, all", numeric: true}];

function figures(each) {
  const tone = queueTone(each);
  return {key: each.queue_name, class: tone === "calm" ? null : `tone-${tone}`, cells: [
    [h("a", {href: `#/queues/${each.queue_name}`, "data-key": each.queue_name}, queueTitle(each.queue_name)),
      h("span", {class: "sub id"}, each.queue_name)],
    rate(live.rates.get(each.queue_name)?.published ?? 0), count(each.pending),
    each.oldest_age_seconds > 0.001 ? duration(each.oldest_age_seconds) : "", count(each.retrying), count(each.dlq), count(each.readers),
    count(each.published_total), count(each.consumed_total), count(each.purged_total)]};
}

export function queueList(main) {
  const list = h("div");
  const order = (each) => known.findIndex((one) => one.name === each.queue_name) + 1 || known.length + 1;
  const show = () => {
    if (!live.overview) return;
    const sorted = [...live.overview.queues].sort((a, b) => order(a) - order(b));
    replace(list, table("Queues", columns, sorted.map(figures)));
  };
  live.addEventListener("overview", show);
  main.append(heading("Queues"), h("p", {class: "muted"},
    "Each reader of a queue takes every message that is meant for it, once: with several readers, a broadcast counts as consumed by each."), list);
  show();
  return {end: () => live.removeEventListener("overview", show)};
}

function message(each) {
  return h("li", {class: "message"},
    h("p", {class: "message-head"}, chip(each.state, each.state === "retrying" ? "warn" : "busy"),
      h("span", {class: "id"}, `message ${each.message_id}`), h("span", {}, `for ${each.recipient ?? each.consumer_group ?? "whoever subscribes"}`),
      ago(each.enqueued_at), each.attempts > 0 ? h("span", {}, `${each.attempts} attempts, next `, ago(each.due_at)) : null),
    h("details", {"data-key": `m-${each.message_id}-${each.consumer_group}`}, h("summary", {}, String(each.payload.type ?? "payload"),
      each.payload.proposal_id ? ` of ${each.payload.proposal_id}` : ""), json(each.payload)));
}

export function queue(main, {argument: name}) {
  const list = part("div", {}, (messages) => messages.length
    ? h("ol", {class: "messages"}, messages.map(message))
    : empty("Nothing waits here", "Messages show up here only while they wait or are tried again."));
  const summary = h("p", {class: "lead"});
  const show = () => {
    const figure = live.overview?.queues.find((each) => each.queue_name === name);
    if (figure) summary.textContent = `${waitingText(figure)}; ${count(figure.published_total)} published, ${count(figure.consumed_total)} consumed`;
  };
  const loading = keepLoading(async () => {
    list.show((await get(`/v1/queues/${encodeURIComponent(name)}/messages?limit=${shownMessages}`)).messages);
  }, {everyMs: 3000});
  live.addEventListener("overview", show);
  main.append(h("p", {class: "crumbs"}, h("a", {href: "#/queues"}, "Queues")),
    heading(queueTitle(name), h("span", {class: "id muted"}, name)), summary,
    h("p", {}, h("a", {href: `#/dead-letters?queue=${encodeURIComponent(name)}`}, "Dead letters of this queue")),
    loading.error, h("h2", {}, `What waits, oldest first (at most ${shownMessages})`), list.element);
  show();
  return {
    end() {
      loading.end();
      live.removeEventListener("overview", show);
    },
  };
}
