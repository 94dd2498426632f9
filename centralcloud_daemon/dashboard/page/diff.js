// What a proposal changes, with colours. The text is hostile: it only ever becomes text nodes.
import {code, h} from "./dom.js";
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

/// As an editor counts them: an end of the last line begins no further one.
function linesOf(text) {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}

/// Whether the hunks lead to this content, as far as they say: they are the proposer's word, the content is what counts.
function leadsTo(hunks, content) {
  const lines = linesOf(content);
  let at = 0;  // the line of the content that a hunk is at
  let end = 0;
  return hunks.every(({kind, text}) => {
    if (kind === "hunk") {
      const [, first, length] = /\+(\d+)(?:,(\d+))? @@/.exec(text) ?? [];
      if (at !== end) return false;
      at = Number(first) - (length === "0" ? 0 : 1);
      end = at + Number(length ?? 1);
      return end <= lines.length;
    }
    if (kind === "meta") return text.startsWith("\\");
    if (kind === "removed") return true;
    at += 1;
    return at <= end && lines[at - 1] === text.slice(1);
  }) && at === end;
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
    lines.length > 0 ? [body, more] : null);
}

function whole(path, content, note) {
  return block(path, linesOf(content).map((text) => ({kind: "same", text})), note);
}

const unknown = "the whole file as it will be; what it is now, the instance did not say";

/// The hunks that were sent for a path, null where they cannot be shown, undefined where none were sent.
function said(files, path) {
  const hunks = Object.hasOwn(files, path) ? files[path] : undefined;
  return hunks === null || typeof hunks === "string" ? hunks : undefined;
}

/// One file as it will be. What it is now is not in the change: the instance that proposes says it, where it can.
function file(path, content, preview) {
  const gone = typeof content !== "string";
  if (preview === undefined) {
    return gone ? block(path, [], "is deleted; what was in it, the instance did not say") : whole(path, content, unknown);
  }
  if (preview === null) return gone ? block(path, [], "is deleted; it is no text") : whole(path, content, "the whole file as it will be; what it is now is no text");
  const hunks = preview === "" ? [] : parsePatch(preview);
  if (!leadsTo(hunks, content ?? "")) return whole(path, content ?? "", "the whole file as it will be; the difference that the instance sent does not lead to it");
  if (gone) return block(path, hunks, hunks.length > 0 ? "is deleted" : "is deleted; it was empty");
  const added = hunks.filter((each) => each.kind === "added").length;
  if (added > 0 && added === linesOf(content).length) return block(path, hunks, hunks[0].text.startsWith("@@ -0,0 ") ? "is new, or was empty" : null);
  // What lies between the hunks is the instance's word.
  return [block(path, hunks, hunks.length > 0 ? null : "stays as it is"), h("details", {class: "whole"}, h("summary", {}, `The whole of ${path}, as it will be`), whole(path, content))];
}

export function changeView(change, preview, proposer) {
  if (typeof change?.patch === "string") return [block("patch", parsePatch(change.patch))];
  if (change?.files && typeof change.files === "object") {
    const known = preview?.files ?? {};
    return [preview ? h("p", {class: "muted small"}, `Compared by ${proposer} with its own files as they were when it proposed this`,
      preview.commit ? [", commit ", code(String(preview.commit).slice(0, 12))] : null, ".") : null,
    ...Object.entries(change.files).map(([path, content]) => file(path, content, said(known, path)))];
  }
  return [block("change", JSON.stringify(change ?? null, null, 2).split("\n").map((text) => ({kind: "same", text})))];
}
