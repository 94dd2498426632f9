// Numbers, times and names as people read them.
import {h} from "./dom.js";

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

export function count(value) {
  return Number(value ?? 0).toLocaleString("en");
}

/// Three significant digits, without exponents: 0.012, 1.5, 340, 12,000.
export function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return String(value ?? "");
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

export function percent(value) {
  return `${Number((value * 100).toFixed(1))} %`;
}

export function rate(value) {
  if (!(value > 0)) return "0/s";
  return value < 10 ? `${value.toFixed(1)}/s` : `${Math.round(value).toLocaleString("en")}/s`;
}

export function absolute(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? String(iso) : at.toLocaleString("sv", {timeZoneName: "short"});
}

export function clock(iso) {
  return new Date(iso).toLocaleTimeString("sv");
}

// The server's clock counts, not that of whoever looks.
let offset = 0;
export function setServerTime(iso) {
  const server = Date.parse(iso);
  if (!Number.isNaN(server)) offset = server - Date.now();
}
export function now() {
  return Date.now() + offset;
}

function relative(iso) {
  const seconds = (now() - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < -1) return `in ${duration(-seconds)}`;
  return seconds < 1 ? "just now" : `${duration(Math.round(seconds))} ago`;
}

/// "3 min ago", kept up to date; the absolute time on hover and for machines.
export function ago(iso) {
  if (!iso) return "";
  return h("time", {datetime: iso, title: absolute(iso), "data-ago": true}, relative(iso));
}
setInterval(() => {
  for (const each of document.querySelectorAll("time[data-ago]")) {
    const text = relative(each.getAttribute("datetime"));
    if (each.textContent !== text) each.textContent = text;
  }
}, 1000);

const names = {
  voting: "voting", approved: "approved", rejected: "rejected", executing: "executing", watching: "watching",
  confirmed: "confirmed", rollback_triggered: "rolling back", rolled_back: "rolled back",
  rollback_failed: "rollback failed", failed: "failed", received: "received", not_begun: "approved, not begun",
};
const tones = {
  voting: "busy", approved: "busy", executing: "busy", watching: "busy", confirmed: "good", rejected: "calm",
  rollback_triggered: "warn", rolled_back: "warn", rollback_failed: "bad", failed: "bad",
};
export function stateName(state) {
  return names[state] ?? String(state ?? "").replaceAll("_", " ");
}
export function tone(state) {
  return tones[state] ?? "calm";
}
export function chip(text, kind = tone(text)) {
  return h("span", {class: "chip", "data-tone": kind}, stateName(text));
}

/// First words of an id, as much as tells two apart on a page; all of it on hover.
export function shortId(id) {
  return h("span", {class: "id", title: id}, id.length > 13 && /^[0-9a-f-]{36}$/.test(id) ? id.slice(0, 8) : id);
}

export function proposalLink(id, description, key) {
  return h("a", {href: `#/proposals/${encodeURIComponent(id)}`, "data-key": key ?? `p-${id}`},
    description ? description : h("span", {class: "id"}, id));
}
