// Making elements. Everything from outside becomes a text node or an attribute, never markup: the only way in is here.

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else element.setAttribute(name, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/// Replaces what is in `container`; what was focused or unfolded stays so where its `data-key` is there again. Where what
/// was focused has gone, the view is: whoever uses the keyboard goes on there, and not at the top of the page.
export function replace(container, ...children) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.closest("[data-key]")?.dataset.key;
  const open = new Set([...container.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key));
  container.replaceChildren();
  add(container, children);
  for (const each of container.querySelectorAll("details[data-key]")) if (open.has(each.dataset.key)) each.open = true;
  if (!focused) return;
  for (const each of container.querySelectorAll("[data-key]")) {
    if (key === undefined || each.dataset.key !== key) continue;
    (each.tagName === "DETAILS" ? each.querySelector("summary") : each).focus({preventScroll: true});
    return;
  }
  document.getElementById("main").focus({preventScroll: true});
}

/// A part of a view that is built anew only when what it shows has changed: a chart under the pointer stays.
export function part(tag, attributes, build) {
  const element = h(tag, attributes);
  let shown;
  return {
    element,
    show(data) {
      const text = JSON.stringify(data);
      if (text === shown) return;
      shown = text;
      replace(element, build(data));
    },
  };
}

export function empty(title, ...hints) {
  return h("div", {class: "empty"}, h("p", {class: "empty-title"}, title), hints.map((hint) => h("p", {}, hint)));
}

export function code(text) {
  return h("code", {}, text);
}

/// rows: of cells (node, text, or {text, class}); `label` names the table for those who do not see where it stands. The
/// roles are said, because on a narrow page the rows are laid out as blocks, which would take them away.
export function table(label, columns, rows) {
  const cell = (value, column) => {
    const kind = [column.numeric ? "numeric" : "", column.wide ? "wide" : ""].join(" ").trim();
    return h("td", {role: "cell", class: kind || null, "data-label": column.title}, value ?? "");
  };
  return h("div", {class: "table", role: "region", "aria-label": label, tabindex: "0", "data-key": `table-${label}`},
    h("table", {role: "table"}, h("caption", {class: "unseen"}, label),
      h("thead", {role: "rowgroup"}, h("tr", {role: "row"}, columns.map((each) =>
        h("th", {role: "columnheader", scope: "col", class: each.numeric ? "numeric" : null}, each.title)))),
      h("tbody", {role: "rowgroup"}, rows.map((row) => h("tr", {role: "row", class: row.class, "data-row": row.key},
        row.cells.map((value, at) => cell(value, columns[at])))))));
}
