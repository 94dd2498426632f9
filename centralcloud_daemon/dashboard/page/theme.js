// Before the first paint, so that a chosen theme does not flash in. Not a module: those run later.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
