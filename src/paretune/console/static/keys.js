// Keyboard: g and a letter opens a view, j and k go through links of the page's table, ? tells all.
let went = 0;

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "g") {
      went = Date.now();
      return;
    }
    if (Date.now() - went < 1500) {
      went = 0;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (event.key === "r") document.querySelector(".brand").click();
      else if (link) link.click();
      return;
    }
    if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  });
}

function move(by) {
  const links = [...document.querySelectorAll("main table a, main [data-row] a")];
  if (!links.length) return;
  const now = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, now + by))].focus();
}
