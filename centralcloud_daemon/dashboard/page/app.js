// The shell: which view is shown, the navigation, and the state of the connection.
import {h, replace} from "./dom.js";
import {get} from "./api.js";
import {count} from "./format.js";
import {live, open} from "./live.js";
import {overview} from "./overview.js";
import {proposals} from "./proposals.js";
import {proposal} from "./proposal.js";
import {queueList, queue} from "./queues.js";
import {instances} from "./instances.js";
import {deadLetters} from "./dead_letters.js";
import {alerts} from "./alerts.js";
import {patterns} from "./patterns.js";
import {profiles} from "./profiles.js";

const views = [
  {path: "", title: "Overview", view: overview},
  {path: "proposals", title: "Proposals", view: proposals, one: proposal},
  {path: "queues", title: "Queues", view: queueList, one: queue},
  {path: "instances", title: "Instances", view: instances},
  {path: "dead-letters", title: "Dead letters", view: deadLetters},
  {path: "alerts", title: "Alerts", view: alerts},
  {path: "patterns", title: "Patterns", view: patterns},
  {path: "profiles", title: "Safety profiles", view: profiles},
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let shown = {end() {}};

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const spec = views.find((each) => each.path === name) ?? {title: "Not found"};
  let argument = rest.join("/");
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // A broken escape in the address is shown as it stands.
  }
  return {spec, view: argument && spec.one ? spec.one : spec.view, argument, query: new URLSearchParams(query)};
}

function show() {
  const {spec, view, argument, query} = route();
  shown.end();
  main.replaceChildren();
  document.title = `${argument || spec.title} · Fleet control`;
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.path === spec.path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!view) {
    shown = {end() {}};
    main.append(h("h1", {}, "Not found"), h("p", {}, "There is no such view. ", h("a", {href: "#/"}, "To the overview")));
    return;
  }
  shown = view(main, {argument, query});
}

function showLinkState() {
  const state = document.getElementById("link-state");
  const texts = {connecting: "Connecting…", live: "Live", lost: "Connection lost", trouble: "Database away"};
  state.dataset.state = live.state;
  if (state.textContent !== texts[live.state]) state.textContent = texts[live.state];
  const notice = document.getElementById("notice");
  const text = live.state === "lost"
    ? "Connection lost: the coordinator does not answer. What you see may be old; this page reconnects by itself."
    : live.state === "trouble"
      ? `The coordinator cannot read its database (${live.detail}). Work waits in the agents' spools; what you see may be old.`
      : "";
  notice.hidden = text === "";
  if (notice.textContent !== text) notice.textContent = text;
  document.body.dataset.link = live.state;
}

function badge(path, n, label) {
  const place = nav.querySelector(`[data-badge="${path}"]`);
  place.hidden = n === 0;
  replace(place, n > 0 ? [count(n), h("span", {class: "unseen"}, ` ${label}`)] : "");
}

function showBadges() {
  const overviewNow = live.overview;
  if (overviewNow) badge("dead-letters", overviewNow.queues.reduce((sum, each) => sum + each.dlq, 0), "dead letters");
}

let raisesAlerts = true;
async function countAlerts() {
  if (!raisesAlerts) return;
  try {
    const {alerts: list} = await get("/v1/alerts");
    const open = list.filter((each) => !each.cleared_at);
    live.alerts = open;
    badge("alerts", open.length, "alerts");
    live.dispatchEvent(new Event("alerts"));
  } catch (problem) {
    raisesAlerts = problem.status !== 404;  // the view says so; asking again would only fill the browser's log
  }
}

function setUpTheme() {
  const button = document.getElementById("theme");
  const order = ["system", "light", "dark"];
  const tell = (name) => {
    button.textContent = `Theme: ${name}`;
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
  };
  let chosen = document.documentElement.dataset.theme ?? "system";
  tell(chosen);
  button.addEventListener("click", () => {
    chosen = order[(order.indexOf(chosen) + 1) % order.length];
    localStorage.setItem("theme", chosen);
    tell(chosen);
  });
}

nav.append(...views.map((each) => h("li", {}, h("a", {href: `#/${each.path}`, "data-path": each.path}, each.title,
  h("span", {class: "badge", "data-badge": each.path, hidden: true})))));
setUpTheme();
showLinkState();
live.addEventListener("state", showLinkState);
live.addEventListener("overview", showBadges);
live.addEventListener("back", countAlerts);
setInterval(() => document.hidden || countAlerts(), 10000);
window.addEventListener("hashchange", () => {
  show();
  window.scrollTo(0, 0);
  main.focus({preventScroll: true});
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();  // the address belongs to the views
  main.focus();
});
show();
open();
countAlerts();
