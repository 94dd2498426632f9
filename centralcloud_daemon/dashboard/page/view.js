// What views share: loading again when something happened, and telling what went wrong.
import {tell} from "./api.js";
import {h} from "./dom.js";
import {live} from "./live.js";

/// Calls `load` now, when the connection is back, after steps that `matters` accepts (at most once in `gapMs`), and
/// every `everyMs` while the page is seen and `changing` says that waiting is worth it. `load` may throw: the text is
/// shown until it succeeds. Returns {error: the element for that text, again, end}.
export function keepLoading(load, {matters = () => false, gapMs = 1000, everyMs = 0, changing = () => true} = {}) {
  const error = h("p", {class: "error", role: "alert", hidden: true});
  let ended = false;
  let timer;
  let busy = false;
  let wanted = false;

  async function again() {
    wanted = true;
    if (busy || ended) return;
    busy = true;
    while (wanted && !ended) {
      wanted = false;
      try {
        await load();
        error.hidden = true;
      } catch (problem) {
        error.textContent = `Could not load: ${problem.message}`;
        error.hidden = ended;
      }
    }
    busy = false;
  }
  function soon() {
    timer ??= setTimeout(() => {
      timer = undefined;
      again();
    }, gapMs);
  }
  const onSteps = (event) => event.detail.some(matters) && soon();
  live.addEventListener("steps", onSteps);
  live.addEventListener("back", again);
  const beat = everyMs > 0 ? setInterval(() => document.hidden || !changing() || again(), everyMs) : 0;
  again();
  return {
    error,
    again,
    end() {
      ended = true;
      clearTimeout(timer);
      clearInterval(beat);
      live.removeEventListener("steps", onSteps);
      live.removeEventListener("back", again);
    },
  };
}

export function heading(title, ...rest) {
  return h("div", {class: "heading"}, h("h1", {}, title), rest);
}

export function json(value) {
  return h("pre", {class: "json", tabindex: "0", role: "region", "aria-label": "JSON"}, JSON.stringify(value, null, 2));
}

/// Rows that come a page at a time: `fetchPage(after)` gives a list, `keyOf` what the next page is asked with.
export function pages({fetchPage, keyOf, size, draw}) {
  const more = h("button", {type: "button", class: "quiet", hidden: true}, "Show more");
  let rows = [];
  let depth = 1;
  async function load() {
    const fresh = [];
    for (let page = 0; page < depth; page += 1) {
      const list = await fetchPage(fresh.length ? keyOf(fresh.at(-1)) : undefined);
      fresh.push(...list);
      more.hidden = list.length < size;
      if (list.length < size) break;
    }
    rows = fresh;
    draw(rows);
  }
  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const list = await fetchPage(keyOf(rows.at(-1)));
      rows = [...rows, ...list];
      depth += 1;
      more.hidden = list.length < size;
      draw(rows);
    } catch (problem) {
      tell(`Could not load more: ${problem.message}`);
    } finally {
      more.disabled = false;
    }
  });
  return {load, more};
}
