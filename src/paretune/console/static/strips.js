// Squares in rows: one stop for the tab key in each row, arrows go on from there.
const STEP = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

document.addEventListener("keydown", (event) => {
  const row = event.target.closest?.("[data-squares]");
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in STEP) go(row, at(row, event.target) + STEP[event.key]);
  else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    const rows = [...document.querySelectorAll("[data-squares]")];
    const next = rows[rows.indexOf(row) + (event.key === "ArrowUp" ? -1 : 1)];
    if (next) go(next, at(row, event.target));
  } else return;
  event.preventDefault();
});

function at(row, square) {
  return [...row.children].indexOf(square);
}

function go(row, place) {
  row.children[Math.max(0, Math.min(row.children.length - 1, place))]?.focus();
}
