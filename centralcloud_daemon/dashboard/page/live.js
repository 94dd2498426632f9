// The live connection: server-sent events in, the newest overview and what came of it out.
//   connecting -> live -> lost (-> connecting ...); trouble: the coordinator is there, its database is not.
import {get} from "./api.js";
import {setServerTime} from "./format.js";

const silenceMs = 25000;   // the coordinator speaks every second or so, and at the worst every 20
const longestPauseMs = 5000;
export const historySeconds = 120;

export const live = new EventTarget();
live.state = "connecting";
live.since = Date.now();
live.detail = "";
live.overview = null;
live.rates = new Map();    // queue -> {published, consumed, history: [{at (ms), rate (published a second)}]}

let source;
let failures = 0;
let opened = false;
let silence;
let retry;

function setState(state, detail = "") {
  if (live.state === state && live.detail === detail) return;
  if (live.state !== state) live.since = Date.now();
  live.state = state;
  live.detail = detail;
  live.dispatchEvent(new Event("state"));
}

function per(before, after, name, seconds) {
  // A counter that went back belongs to another database: no rate.
  return Math.max(0, (after[name] ?? 0) - (before[name] ?? 0)) / seconds;
}

function takeOverview(next) {
  const before = live.overview;
  setServerTime(next.at);
  const seconds = before ? (Date.parse(next.at) - Date.parse(before.at)) / 1000 : 0;
  if (before && seconds <= 0) return;
  for (const queue of next.queues) {
    const old = before?.queues.find((each) => each.queue_name === queue.queue_name);
    if (!old) continue;
    const rates = live.rates.get(queue.queue_name) ?? {history: []};
    const published = per(old, queue, "published_total", seconds);
    const consumed = per(old, queue, "consumed_total", seconds);
    rates.history.push({at: Date.parse(next.at), rate: published});
    while (rates.history[0].at < Date.parse(next.at) - historySeconds * 1000) rates.history.shift();
    // A figure that jumps each second cannot be read: a moving mean over about five seconds.
    const weight = Math.min(1, seconds / 5);
    rates.published = rates.published === undefined ? published : rates.published + weight * (published - rates.published);
    rates.consumed = rates.consumed === undefined ? consumed : rates.consumed + weight * (consumed - rates.consumed);
    live.rates.set(queue.queue_name, rates);
  }
  live.overview = next;
  live.dispatchEvent(new Event("overview"));
}

function heard() {
  clearTimeout(silence);
  silence = setTimeout(lost, silenceMs);
}

function lost() {
  close();
  setState("lost");
  failures += 1;
  const pause = Math.min(longestPauseMs, 500 * 2 ** failures) * (0.8 + 0.4 * Math.random());
  retry = setTimeout(open, pause);
}

function close() {
  clearTimeout(silence);
  clearTimeout(retry);
  source?.close();
  source = undefined;
}

async function refresh() {
  try {
    takeOverview(await get("/v1/overview"));
  } catch (problem) {
    if (problem.status !== 0) setState("trouble", problem.message);
  }
}

export function open() {
  close();
  source = new EventSource("/v1/events");
  heard();
  source.onopen = () => {
    const again = opened;
    opened = true;
    failures = 0;
    setState("live");
    heard();
    refresh();
    if (again) live.dispatchEvent(new Event("back"));
  };
  source.onerror = lost;
  source.addEventListener("overview", (event) => {
    heard();
    setState("live");
    takeOverview(JSON.parse(event.data));
  });
  source.addEventListener("steps", (event) => {
    heard();
    live.dispatchEvent(new CustomEvent("steps", {detail: JSON.parse(event.data)}));
  });
  source.addEventListener("trouble", (event) => {
    heard();
    setState("trouble", JSON.parse(event.data).detail);
  });
}

// A tab that nobody sees costs the coordinator nothing; browsers also allow only six connections to one server.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
  else if (!source) open();
});
