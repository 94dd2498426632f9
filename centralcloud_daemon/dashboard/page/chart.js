// A small chart of one metric of one change: its value before, each sample after, the bound, and where it was broken.
import {h, svg} from "./dom.js";
import {clock, count, duration, number} from "./format.js";

const height = 132;
const edge = {left: 44, right: 8, top: 10, bottom: 20};

/// Round steps between low and high: 3 or so.
function ticks(low, high) {
  const rough = (high - low) / 3;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= rough);
  const list = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) list.push(Number(value.toPrecision(12)));
  return list;
}

function range(points, others) {
  const values = [...points.map((each) => each.value), ...others.filter((each) => Number.isFinite(each))];
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (high - low < Math.abs(high) * 0.02 + 1e-9) {
    low -= Math.abs(low) * 0.1 + 0.01;
    high += Math.abs(high) * 0.1 + 0.01;
  }
  const room = (high - low) * 0.12;
  // No room below zero where nothing is negative.
  return {low: low >= 0 ? Math.max(0, low - room) : low - room, high: high + room};
}

function bound(rule, baseline) {
  if (!rule) return undefined;
  if (rule.compare !== "increase") return rule.threshold;
  return Number.isFinite(baseline) ? baseline + rule.threshold : undefined;
}

function summary(metric, points, baseline, rule, limit) {
  const parts = [`${metric}: now ${number(points.at(-1).value)}`];
  if (Number.isFinite(baseline)) parts.push(`before ${number(baseline)}`);
  if (limit !== undefined) parts.push(`bound ${rule.compare === "<" ? "at least" : "at most"} ${number(limit)}`);
  const broken = points.filter((each) => each.breach).length;
  parts.push(broken ? `${broken} of ${points.length} samples break the bound` : `${points.length} samples, none breaks a bound`);
  return parts.join(", ");
}

/// points: [{at (ms), value, breach}], events: [{at (ms), text}], rule: of rules.guardian, or none.
export function chart({metric, points, baseline, rule, events, width}) {
  const limit = bound(rule, baseline);
  const {low, high} = range(points, [baseline, limit]);
  const begin = Math.min(points[0].at, ...events.map((each) => each.at));
  const end = Math.max(points.at(-1).at, begin + 1000, ...events.map((each) => each.at));
  const x = (at) => edge.left + (at - begin) / (end - begin) * (width - edge.left - edge.right);
  const y = (value) => edge.top + (high - value) / (high - low) * (height - edge.top - edge.bottom);
  const across = (value, kind) => svg("line", {class: kind, x1: edge.left, x2: width - edge.right, y1: y(value), y2: y(value)});

  const marks = [];
  for (const tick of ticks(low, high)) {
    marks.push(across(tick, "grid"), svg("text", {class: "tick", x: edge.left - 6, y: y(tick) + 4, "text-anchor": "end"}, number(tick)));
  }
  if (limit !== undefined && limit >= low && limit <= high) {
    const [from, to] = rule.compare === "<" ? [y(limit), height - edge.bottom] : [edge.top, y(limit)];
    marks.push(svg("rect", {class: "beyond", x: edge.left, width: width - edge.left - edge.right, y: from, height: Math.max(0, to - from)}),
      across(limit, "limit"));
  }
  if (Number.isFinite(baseline)) marks.push(across(baseline, "before"));
  for (const event of events) {
    marks.push(svg("line", {class: "event", x1: x(event.at), x2: x(event.at), y1: edge.top, y2: height - edge.bottom},
      svg("title", {}, event.text)));
  }
  const path = points.map((each, at) => `${at ? "L" : "M"}${x(each.at).toFixed(1)} ${y(each.value).toFixed(1)}`).join("");
  marks.push(svg("path", {class: "curve", d: path}));
  // A breach is told by form as well as by colour: a cross, not a dot.
  for (const each of points) {
    const [cx, cy] = [x(each.at), y(each.value)];
    if (each.breach) marks.push(svg("path", {class: "breach", d: `M${cx - 4} ${cy - 4}l8 8m0-8l-8 8`}));
    else if (points.length < 60) marks.push(svg("circle", {class: "sample", cx, cy, r: 2}));
  }
  marks.push(svg("text", {class: "tick", x: edge.left, y: height - 5}, clock(begin)),
    svg("text", {class: "tick", x: width - edge.right, y: height - 5, "text-anchor": "end"}, `+${duration((end - begin) / 1000)}`));

  const readout = h("span", {class: "readout"});
  const last = points.at(-1);
  const rest = () => {
    readout.textContent = number(last.value);
    readout.dataset.tone = last.breach ? "bad" : "calm";
  };
  rest();
  const cursor = svg("line", {class: "cursor", y1: edge.top, y2: height - edge.bottom, visibility: "hidden"});
  const picture = svg("svg", {class: "chart", viewBox: `0 0 ${width} ${height}`, height, role: "img",
    "aria-label": summary(metric, points, baseline, rule, limit)}, marks, cursor);
  picture.addEventListener("pointermove", (event) => {
    const at = begin + (event.offsetX - edge.left) / (width - edge.left - edge.right) * (end - begin);
    const near = points.reduce((best, each) => Math.abs(each.at - at) < Math.abs(best.at - at) ? each : best);
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(near.at));
    cursor.setAttribute("x2", x(near.at));
    readout.textContent = `${number(near.value)} at ${clock(near.at)}${near.breach ? ", breach" : ""}`;
    readout.dataset.tone = near.breach ? "bad" : "calm";
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    rest();
  });
  const words = rule ? `${rule.compare === "<" ? "at least" : "at most"} ${number(limit)}` +
    (rule.compare === "increase" ? ` (before + ${number(rule.threshold)})` : "") +
    `, ${rule.severity}, ${rule.action === "roll_back" ? "rolls back" : "alerts"}` +
    (rule.consecutive > 1 ? ` after ${rule.consecutive} in a row` : "") : "no rule";
  return h("figure", {class: "metric"},
    h("figcaption", {}, h("span", {class: "metric-name"}, metric), readout), picture,
    h("p", {class: "metric-rule"}, limit === undefined && rule ? "no value before to compare with" : words,
      Number.isFinite(baseline) ? `; before ${number(baseline)}` : ""));
}

/// The last hour, a bar a minute, stacked by what became of the proposals.
export function bars(minutes, nowMs, width) {
  const kinds = [
    {name: "confirmed", states: ["confirmed"]},
    {name: "under way", states: ["voting", "approved", "executing", "watching", "rollback_triggered"]},
    {name: "rejected", states: ["rejected"]},
    {name: "rolled back", states: ["rolled_back"]},
    {name: "failed", states: ["failed", "rollback_failed"]},
  ];
  const tall = 84;
  const base = tall - 16;
  const last = Math.floor(nowMs / 60000);
  const slots = Array.from({length: 60}, () => kinds.map(() => 0));
  for (const each of minutes) {
    const at = 59 - (last - Math.floor(Date.parse(each.at) / 60000));
    const kind = kinds.findIndex((one) => one.states.includes(each.status));
    if (slots[at] && kind >= 0) slots[at][kind] += each.proposals;
  }
  const totals = slots.map((each) => each.reduce((sum, n) => sum + n, 0));
  const highest = Math.max(1, ...totals);
  const step = width / 60;
  const marks = slots.flatMap((slot, at) => {
    let y = base;
    return slot.map((n, kind) => {
      const tallness = n / highest * (base - 6);
      y -= tallness;
      return n > 0 && svg("rect", {class: "bar", "data-kind": kind, x: at * step + 0.5, width: Math.max(1, step - 1), y, height: tallness});
    });
  });
  const all = kinds.map((each, kind) => ({name: each.name, n: slots.reduce((sum, slot) => sum + slot[kind], 0)}));
  const label = `Proposals of the last hour: ${all.map((each) => `${each.n} ${each.name}`).join(", ")}`;
  return h("figure", {class: "activity"},
    svg("svg", {viewBox: `0 0 ${width} ${tall}`, height: tall, role: "img", "aria-label": label},
      svg("line", {class: "grid", x1: 0, x2: width, y1: base, y2: base}), marks,
      svg("text", {class: "tick", x: 0, y: tall - 3}, "1 h ago"),
      svg("text", {class: "tick", x: width / 2, y: tall - 3, "text-anchor": "middle"}, `highest: ${count(highest)} a minute`),
      svg("text", {class: "tick", x: width, y: tall - 3, "text-anchor": "end"}, "now")),
    h("figcaption", {class: "legend"}, all.map((each, kind) =>
      h("span", {}, h("span", {class: "swatch", "data-kind": kind}), `${each.name} ${count(each.n)}`))));
}
