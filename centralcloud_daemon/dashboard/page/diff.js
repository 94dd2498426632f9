// What a proposal changes, with colours. The text is hostile: it only ever becomes text nodes.
import {h} from "./dom.js";
import {count} from "./format.js";

const firstLines = 1000;  // more only on request: a change may have 8 MiB

function kindOf(line, inHunk) {
  if (line.startsWith("@@")) return "hunk";
  if (!inHunk) return "meta";
  if (line.startsWith("+")) return "added";
  if (line.startsWith("-")) return "removed";
  return line.startsWith("\\") ? "meta" : "same";
}

/// Lines with their kind. A hunk's own header says how many lines it has: "--- x" inside one is a removed line.
export function parsePatch(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  let left = {before: 0, after: 0};
  return lines.map((line) => {
    const header = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line);
    if (header) {
      left = {before: Number(header[1] ?? 1), after: Number(header[2] ?? 1)};
      return {kind: "hunk", text: line};
    }
    const kind = kindOf(line, left.before > 0 || left.after > 0);
    if (kind === "removed" || kind === "same") left.before -= 1;
    if (kind === "added" || kind === "same") left.after -= 1;
    return {kind, text: line};
  });
}

function block(title, lines, note) {
  const added = lines.filter((each) => each.kind === "added").length;
  const removed = lines.filter((each) => each.kind === "removed").length;
  const body = h("div", {class: "lines", role: "region", tabindex: "0", "aria-label": `Change of ${title}`});
  const more = h("button", {type: "button", class: "quiet"});
  let shown = 0;
  const show = () => {
    const next = lines.slice(shown, shown + firstLines);
    body.append(...next.map((each) => h("div", {class: "line", "data-kind": each.kind}, each.text === "" ? " " : each.text)));
    shown += next.length;
    more.hidden = shown >= lines.length;
    more.textContent = `Show more of ${count(lines.length)} lines`;
  };
  more.addEventListener("click", show);
  show();
  const tally = added + removed > 0 ? [h("span", {class: "plus"}, `+${count(added)}`), " ", h("span", {class: "minus"}, `-${count(removed)}`)] : null;
  return h("div", {class: "diff"},
    h("p", {class: "diff-head"}, h("span", {class: "diff-name"}, title), note ? h("span", {class: "muted"}, note) : null,
      tally ? h("span", {class: "tally"}, tally) : null),
    body, more);
}

export function changeView(change) {
  if (typeof change?.patch === "string") return [block("patch", parsePatch(change.patch))];
  if (change?.files && typeof change.files === "object") {
    // What the files had before is not in the proposal, so nothing is claimed to be added or removed.
    return Object.entries(change.files).map(([path, content]) => typeof content === "string"
      ? block(path, content.replace(/\n$/, "").split("\n").map((text) => ({kind: "same", text})), "the whole file, as it will be")
      : block(path, [{kind: "removed", text: "the file is deleted"}]));
  }
  return [block("change", JSON.stringify(change ?? null, null, 2).split("\n").map((text) => ({kind: "same", text})))];
}
