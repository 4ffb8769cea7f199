// Keyboard: g and a letter opens a view, j and k go through what the page lists, ? tells all.
const GO_MS = 1500;
const ROWS = "main tbody a, main tbody button, main [data-row] a, main [data-row] button, main a[data-row]";
let went = 0;

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return; // it has the keyboard, and Esc closes it
    const key = event.key;
    if (Date.now() - went < GO_MS) {
      went = 0;
      if (go(key)) event.preventDefault();
    } else if (key === "g") went = Date.now();
    else if (key === "?") help();
    else if (key === "/") search(event);
    else if (key === "j" || key === "k") move(event, key === "j" ? 1 : -1, false);
    else if (key === "ArrowDown" || key === "ArrowUp") move(event, key === "ArrowDown" ? 1 : -1, true);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-keys]")) help();
  });
}

function go(key) {
  const link = key === "r" ? document.querySelector(".brand") : document.querySelector(`nav a[data-key="${CSS.escape(key)}"]`);
  link?.click();
  return Boolean(link);
}

function search(event) {
  const field = [...document.querySelectorAll("main input[type='search'], main [data-search]")].find(shown);
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select?.();
}

// One stop a row: the first link of each. Arrows move only where somebody already stands in a list: else the
// page scrolls, as everywhere.
function move(event, by, only_within) {
  const seen = new Set();
  const stops = [...document.querySelectorAll(ROWS)].filter((stop) => {
    const row = stop.closest("tr, [data-row]");
    if (seen.has(row) || !shown(stop)) return false;
    return seen.add(row);
  });
  if (!stops.length) return;
  const here = document.activeElement?.closest?.("tr, [data-row]");
  const now = stops.findIndex((stop) => here && stop.closest("tr, [data-row]") === here);
  if (only_within && (now < 0 || event.defaultPrevented)) return;
  event.preventDefault();
  const next = now < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.max(0, Math.min(stops.length - 1, now + by));
  stops[next].focus();
  stops[next].scrollIntoView({ block: "nearest" });
}

function shown(element) {
  return element.checkVisibility?.() ?? element.offsetParent !== null;
}

// A dialog with all keys; the views are those that the page lists.
function help() {
  const dialog = document.createElement("dialog");
  dialog.className = "keys";
  dialog.setAttribute("aria-label", "Keyboard shortcuts");
  const list = document.createElement("dl");
  const add = (keys, meaning) => {
    const term = document.createElement("dt");
    for (const key of keys) {
      const sign = document.createElement("kbd");
      sign.textContent = key;
      term.append(sign);
    }
    const said = document.createElement("dd");
    said.textContent = meaning;
    list.append(term, said);
  };
  for (const link of document.querySelectorAll("nav a[data-key]")) {
    if (link.dataset.key) add(["g", link.dataset.key], link.textContent.trim());
  }
  if (document.querySelector(".brand[href]")) add(["g", "r"], "Runs");
  add(["j", "k"], "next and previous row; arrows too, once in a list");
  add(["Enter"], "open it");
  add(["/"], "search");
  add(["?"], "these keys");
  add(["Esc"], "close");
  const heading = document.createElement("h2");
  heading.textContent = "Keys";
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.autofocus = true;
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(heading, list, close);
  document.body.append(dialog);
  dialog.showModal();
}
