// Messages that were given up: why, what is in them, and the two ways out: another try, or purging.
import {ask, change, get, tell} from "./api.js";
import {empty, h, part} from "./dom.js";
import {queueTitle} from "./flow.js";
import {absolute, ago, chip, count} from "./format.js";
import {live} from "./live.js";
import {heading, json, keepLoading} from "./view.js";

const shown = 100;

function attempts(errors) {
  return h("ol", {class: "attempts"}, (errors ?? []).map((each) => h("li", {},
    each.at ? h("span", {class: "muted"}, absolute(each.at), " ") : null, each.error ?? JSON.stringify(each))));
}

export function deadLetters(main, {query}) {
  const queue = query.get("queue") ?? "";
  const ofQueue = queue ? ` of ${queueTitle(queue).toLowerCase()}` : "";

  async function retry(id) {
    const done = await ask({
      title: "Try this message again?",
      text: "It gets a new set of attempts, now. Where the cause is still there, it comes back here.",
      action: "Retry",
      done: () => change("POST", `/v1/dlq/${id}/retry`),
    });
    if (done) tell("The message is on its way again.");
    await loading.again();
  }
  async function purge() {
    const result = await ask({
      title: `Purge all dead letters${ofQueue}?`,
      text: "They are deleted for good. Who did it and what they held stays on record in quantumflow.operator_action.",
      action: "Purge",
      danger: true,
      done: () => change("DELETE", `/v1/dlq${queue ? `?queue=${encodeURIComponent(queue)}` : ""}`),
    });
    if (result) tell(`${count(result.purged)} dead letters are purged.`);
    await loading.again();
  }
  function letter(each) {
    return h("li", {class: "message", "data-row": each.id},
      h("p", {class: "message-head"}, chip(each.reason, "bad"), h("strong", {}, queueTitle(each.queue_name)),
        h("span", {class: "id"}, `message ${each.message_id}`), h("span", {}, `for ${each.recipient ?? each.consumer_group}`), ago(each.dead_at),
        h("button", {type: "button", class: "quiet", "data-key": `retry-${each.id}`, "aria-label": `Retry message ${each.message_id}`,
          onclick: () => retry(each.id)}, "Retry…")),
      h("p", {class: "reason"}, each.error ?? ""),
      h("details", {"data-key": `d-${each.id}`}, h("summary", {}, `Payload${each.payload.proposal_id ? ` of ${each.payload.proposal_id}` : ""}` +
        ` and ${count(each.attempts)} ${each.attempts === 1 ? "attempt" : "attempts"}`), attempts(each.errors), json(each.payload)));
  }
  const purgeButton = h("button", {type: "button", class: "danger", hidden: true, onclick: purge}, queue ? "Purge this queue's…" : "Purge all…");
  const list = part("div", {}, ({letters, total}) => [
    total > letters.length && h("p", {class: "muted"}, `The newest ${count(letters.length)} of ${count(total)}.`),
    letters.length ? h("ol", {class: "messages"}, letters.map(letter))
      : empty(`No dead letters${ofQueue}`, "A message comes here when it cannot be understood, or after its last retry.")]);
  const counted = () => (live.overview?.queues ?? []).filter((each) => !queue || each.queue_name === queue)
    .reduce((sum, each) => sum + each.dlq, 0);
  let known;  // how many there are, as far as the list says
  const loading = keepLoading(async () => {
    const {dlq} = await get(`/v1/dlq?limit=${shown}${queue ? `&queue=${encodeURIComponent(queue)}` : ""}`);
    known = dlq.length < shown ? dlq.length : counted();
    list.show({letters: dlq, total: Math.max(known, dlq.length)});
    purgeButton.hidden = dlq.length === 0;
  });
  // The count is watched, and the list read again where it says otherwise. Not where the count changes: a message that failed
  // again at once is another letter, with the same count.
  const watch = () => {
    if (known !== undefined && counted() !== known) loading.again();
  };
  live.addEventListener("overview", watch);
  const titles = queue ? h("a", {href: "#/dead-letters"}, "Show those of all queues") : null;
  main.append(heading(`Dead letters${ofQueue}`, titles, purgeButton), loading.error, list.element);
  return {
    end() {
      loading.end();
      live.removeEventListener("overview", watch);
    },
  };
}
