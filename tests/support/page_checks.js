// What the tests ask of a page that is shown. Run in it; leaves one object, `pageChecks`.
window.pageChecks = (() => {
  const parse = (colour) => {
    const parts = (colour.match(/[\d.]+/g) ?? []).map(Number);
    return colour.startsWith("rgb") ? {rgb: parts.slice(0, 3), alpha: parts[3] ?? 1} : {rgb: [0, 0, 0], alpha: 0};
  };
  const over = (top, below) => below.map((each, at) => top.rgb[at] * top.alpha + each * (1 - top.alpha));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((each) => each / 255).map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ancestors = (element) => element ? [element, ...ancestors(element.parentElement)] : [];
  const seen = (element) => element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) && !element.closest(".unseen");

  // What is painted below an element's text: the colours of its ancestors, and the boxes of a picture that it lies in.
  function ground(element) {
    const layers = ancestors(element).map((each) => parse(getComputedStyle(each).backgroundColor)).reverse();
    const colour = layers.reduce((below, each) => over(each, below), [255, 255, 255]);
    const {left, right, top, bottom} = element.getBoundingClientRect();
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    return [...element.ownerSVGElement?.querySelectorAll("rect") ?? []].reduce((below, each) => {
      const box = each.getBoundingClientRect();
      const style = getComputedStyle(each);
      if (x < box.left || x > box.right || y < box.top || y > box.bottom) return below;
      const {rgb, alpha} = parse(style.fill);
      return over({rgb, alpha: alpha * Number(style.opacity)}, below);
    }, colour);
  }

  // Every text whose contrast with its ground is below `least`; what is disabled need not be read.
  function faint(least) {
    const found = new Map();
    const look = (element, colour, text) => {
      const opacity = ancestors(element).reduce((product, each) => product * Number(getComputedStyle(each).opacity), 1);
      const {rgb, alpha} = parse(colour);
      const below = ground(element);
      const contrast = ratio(over({rgb, alpha: alpha * opacity}, below), below);
      const name = `${element.tagName} .${element.getAttribute("class") ?? ""} ${JSON.stringify(text.trim().slice(0, 40))}`;
      if (contrast < least) found.set(name, `${name}: ${contrast.toFixed(2)}`);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.data.trim() || !seen(element) || element.closest(":disabled, noscript, title, style")) continue;
      const style = getComputedStyle(element);
      look(element, element.ownerSVGElement ? style.fill : style.color, node.data);
    }
    for (const input of document.querySelectorAll("input[placeholder]")) {
      if (seen(input)) look(input, getComputedStyle(input, "::placeholder").color, input.placeholder);
    }
    return [...found.values()];
  }

  // Elements are named and not kept: views build parts of themselves anew. What has a key may change its text.
  const name = (element) => `${element.tagName} ` + (element.dataset.key ?? element.dataset.path ?? `${element.getAttribute("href") ?? element.id} ` +
    (element.getAttribute("aria-label") ?? element.getAttribute("name") ?? element.textContent.trim().slice(0, 60)));
  const reachable = () => [...document.querySelectorAll('a[href], button:not(:disabled), input:not(:disabled), summary, [tabindex="0"]')]
    .filter((each) => each.checkVisibility({checkVisibilityCSS: true}));
  function marked(element) {
    const box = element.querySelector(".hit") ?? element;
    const style = getComputedStyle(box);
    return box === element ? style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 : style.stroke !== "none";
  }

  // From here on, notes where the focus goes: `walk` then says what it did not reach, and where nothing showed it.
  function follow() {
    const [visited, unmarked] = [new Set(), new Set()];
    document.addEventListener("focusin", ({target}) => {
      visited.add(name(target));
      if (target.tabIndex >= 0 && !marked(target)) unmarked.add(name(target));
    });
    document.activeElement?.blur();
    return () => [...reachable().map(name).filter((each) => !visited.has(each)).map((each) => `not reached: ${each}`),
      ...[...unmarked].map((each) => `focus not to be seen: ${each}`)];
  }
  let walk;
  return {
    faint,
    reachable: () => reachable().length,
    follow: () => { walk = follow(); },
    walk: () => walk(),
    // How far the page reaches beyond the window, and what does.
    wide: () => {
      const room = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth <= room) return [];
      const scrolls = (each) => ancestors(each.parentElement).some((one) => getComputedStyle(one).overflowX !== "visible");
      return [`${document.documentElement.scrollWidth} px in ${room}`, ...[...document.querySelectorAll("main *, header *")]
        .filter((each) => each.getBoundingClientRect().right > room + 1 && !scrolls(each)).slice(0, 5).map(name)];
    },
    // Buttons and fields that a screen reader could not name.
    nameless: () => [...document.querySelectorAll("a[href], button, input, [role=region], [role=img], svg.flow")]
      .filter((each) => seen(each) && !(each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length))
      .map((each) => each.outerHTML.slice(0, 120)),
  };
})();
