// A report: all pages are in the file, and the address after the # says which one is shown.
import "./console.js";
import { drawAll } from "./charts.js";
import { start } from "./matrix.js";

const main = document.querySelector("main");
const pages = new Map([...document.querySelectorAll("template[data-page]")].map((page) => [plain(page.dataset.page), page]));

// Some write more of an address in codes than others.
function plain(address) {
  try {
    return decodeURIComponent(address);
  } catch {
    return address;
  }
}

// Plotly is run when the first chart is drawn: most of the file is its text.
Object.defineProperty(window, "Plotly", {
  configurable: true,
  get() {
    delete window.Plotly;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
    return window.Plotly;
  },
});

function show() {
  const [address, place] = location.hash.slice(1).split("#");
  if (address && !address.startsWith("/")) return jump(address);
  const page = pages.get(plain(address || "/")) ?? pages.get("/left-out");
  main.replaceChildren(document.importNode(page.content, true));
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${(address || "/").split("?")[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = [main.querySelector("h1")?.textContent.trim(), document.documentElement.dataset.title].join(" · ");
  drawAll(main);
  start(main);
  scrollTo(0, 0);
  if (place) jump(place);
  else main.focus({ preventScroll: true });
}

function jump(id) {
  const there = document.getElementById(decodeURIComponent(id));
  there?.scrollIntoView();
  there?.focus();
}

// What a form asks for is a page as well, if it is in the file.
document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  const [address] = (form.getAttribute("action") ?? location.hash).split("?");
  location.hash = `${address || "#/"}${asked.size ? `?${asked}` : ""}`;
});

addEventListener("hashchange", show);
show();
