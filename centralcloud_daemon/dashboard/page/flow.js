// The message flow as a live picture: agents on the left, the coordinator on the right, a pipe for each queue.
import {h, svg} from "./dom.js";
import {count, duration, rate} from "./format.js";
import {historySeconds, live} from "./live.js";

// Direction: in = agents to the coordinator, out = coordinator to agents, away = to whoever subscribes.
export const queues = [
  {name: "proposals_for_consensus_queue", title: "Proposals", direction: "in"},
  {name: "votes_for_consensus_queue", title: "Votes", direction: "in"},
  {name: "metrics_to_guardian_queue", title: "Metrics", direction: "in"},
  {name: "patterns_for_aggregator_queue", title: "Patterns", direction: "in"},
  {name: "voting_requests_queue", title: "Voting requests", direction: "out"},
  {name: "consensus_results_queue", title: "Decisions", direction: "out"},
  {name: "rollback_triggers_queue", title: "Rollback triggers", direction: "out"},
  {name: "guardian_safety_profiles_queue", title: "Safety profiles", direction: "out"},
  {name: "consensus_patterns_queue", title: "Confirmed patterns", direction: "out"},
  {name: "learning_loop_completed_queue", title: "Learning, for outside", direction: "away"},
];

export function queueTitle(name) {
  return queues.find((each) => each.name === name)?.title ?? name;
}

export const slowSeconds = 5;  // an oldest message beyond this is worth a look

const rowHeight = 56;
const top = 8;
const [titleWidth, rateWidth] = [160, 70];  // what the longest take, with some air
const [shortestSpark, longestSpark] = [60, 240];
const directions = {in: "agents to coordinator", out: "coordinator to agents", away: "coordinator to outside consumers"};

export function waitingText(queue) {
  const parts = [queue.pending > 0 ? `${count(queue.pending)} waiting` : "nothing waits"];
  if (queue.oldest_age_seconds > 0.001) parts.push(`oldest ${duration(queue.oldest_age_seconds)}`);
  if (queue.retrying > 0) parts.push(`${count(queue.retrying)} retrying`);
  if (queue.dlq > 0) parts.push(`${count(queue.dlq)} dead`);
  return parts.join(", ");
}

export function queueTone(queue) {
  if (queue.dlq > 0) return "bad";
  return queue.retrying > 0 || (queue.oldest_age_seconds > slowSeconds && queue.readers > 0) ? "warn" : "calm";
}

/// A queue that nobody reads fills up by design: what waits there is for whoever subscribes.
export function unread(queue) {
  return queue.readers === 0;
}

/// By time, not by count: a coordinator that is slow to look tells less often.
function sparkline(history, box) {
  if (history.length < 2) return "";
  const highest = Math.max(...history.map((each) => each.rate), 0.5);
  const end = history.at(-1).at;
  return history.map(({at, rate: each}, n) =>
    `${n ? "L" : "M"}${(box.x + box.width * (1 - (end - at) / 1000 / historySeconds)).toFixed(1)} ` +
    `${(box.y + box.height * (1 - each / highest)).toFixed(1)}`).join("");
}

function row(spec, at) {
  const nodes = {
    area: svg("rect", {class: "hit", rx: 6}),
    track: svg("line", {class: "track"}),
    load: svg("line", {class: "load"}),
    drops: svg("line", {class: "drops"}),
    head: svg("path", {class: "head"}),
    title: svg("text", {class: "title"}, spec.title),
    rate: svg("text", {class: "rate", "text-anchor": "end"}),
    state: svg("text", {class: "state"}),
    spark: svg("path", {class: "spark"}),
  };
  const link = svg("a", {href: `#/queues/${spec.name}`, class: "pipe", "data-key": `pipe-${spec.name}`},
    Object.values(nodes));
  return {spec, nodes, link, y: top + at * rowHeight, spark: {x: 0, y: 0, width: 0, height: 0}};
}

function place(each, width, box) {
  const {nodes, y, spec} = each;
  const left = box + 10;
  const right = width - box - 10;
  const line = y + 27;
  const set = (node, values) => Object.entries(values).forEach(([name, value]) => node.setAttribute(name, value));
  set(nodes.area, {x: left - 4, y, width: right - left + 8, height: rowHeight - 4});
  const [from, to] = spec.direction === "in" ? [left, right - 6] : [right, left + 6];
  for (const name of ["track", "load", "drops"]) set(nodes[name], {x1: from, x2: to, y1: line, y2: line});
  const back = spec.direction === "in" ? -8 : 8;
  set(nodes.head, {d: `M${to + back} ${line - 5}L${to} ${line}L${to + back} ${line + 5}`});
  set(nodes.title, {x: left + 8, y: y + 17});
  set(nodes.rate, {x: right - 8, y: y + 17});
  set(nodes.state, {x: left + 8, y: y + 45});
  // Between the title and the rate, where that leaves room.
  const room = right - left - titleWidth - rateWidth;
  each.spark = {x: left + titleWidth, y: y + 5, width: Math.min(room, longestSpark), height: 15};
  each.spark.x += room - each.spark.width;
  nodes.spark.style.display = room >= shortestSpark ? "" : "none";
}

function update(each, queue) {
  const {nodes, link, spec} = each;
  const rates = live.rates.get(spec.name);
  const speed = Math.max(rates?.published ?? 0, rates?.consumed ?? 0);
  const away = unread(queue) && spec.direction === "away";
  const state = away && queue.pending > 0 ? `${count(queue.pending)} kept, nobody subscribed` : waitingText(queue);
  const kind = away ? "calm" : queueTone(queue);
  link.dataset.tone = kind;
  link.dataset.moving = speed < 0.05 ? "no" : speed < 5 ? "slow" : speed < 100 ? "some" : "fast";
  nodes.rate.textContent = rates ? rate(rates.published) : "";
  nodes.state.textContent = state;
  nodes.load.style.strokeWidth = queue.pending > 0 && !away ? `${Math.min(16, 2 + 3 * Math.log10(1 + queue.pending))}px` : "0";
  nodes.spark.setAttribute("d", rates ? sparkline(rates.history, each.spark) : "");
  link.setAttribute("aria-label",
    `${spec.title}, ${directions[spec.direction]}: ${rates ? `${rate(rates.published)}, ` : ""}${state}`);
}

export function flow() {
  const rows = queues.map(row);
  const height = top * 2 + rows.length * rowHeight;
  const ends = ["Agents", "Coordinator"].map((name) => ({
    box: svg("rect", {class: "end", rx: 8}),
    name: svg("text", {class: "end-name", "text-anchor": "middle"}, name),
    note: svg("text", {class: "end-note", "text-anchor": "middle"}),
  }));
  const picture = svg("svg", {class: "flow", role: "group", "aria-label": "Message flow between agents and coordinator"},
    ends.map((each) => [each.box, each.name, each.note]), rows.map((each) => each.link));
  const element = h("div", {class: "flow-frame"}, picture);

  function layout() {
    const width = Math.max(280, Math.floor(element.clientWidth));
    const narrow = width < 640;
    const box = narrow ? 26 : 128;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("height", height);
    ends.forEach((each, at) => {
      const x = at ? width - box : 0;
      for (const [name, value] of Object.entries({x, y: top, width: box, height: height - 2 * top}))
        each.box.setAttribute(name, value);
      const [cx, cy] = [x + box / 2, height / 2];
      each.name.setAttribute("x", cx);
      each.name.setAttribute("y", cy);
      each.name.setAttribute("transform", narrow ? `rotate(-90 ${cx} ${cy}) translate(0 5)` : "");
      each.note.setAttribute("x", cx);
      each.note.setAttribute("y", cy + 20);
      each.note.style.display = narrow ? "none" : "";
    });
    rows.forEach((each) => place(each, width, box));
    show();
  }

  function show() {
    const overview = live.overview;
    if (!overview) return;
    ends[0].note.textContent = `${count(overview.instances.fresh)} live`;
    ends[1].note.textContent = live.state === "live" ? "answers" : live.state === "trouble" ? "no database" : "silent";
    for (const each of rows) {
      const queue = overview.queues.find((one) => one.queue_name === each.spec.name);
      if (queue) update(each, queue);
    }
  }

  const watcher = new ResizeObserver(layout);
  watcher.observe(element);
  return {element, show, end: () => watcher.disconnect()};
}
