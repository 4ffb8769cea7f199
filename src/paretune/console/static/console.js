// What every page needs: the theme, the keyboard, and parts that follow a live run.
import { follow } from "./live.js";
import { listen } from "./keys.js";
import { drawAll } from "./charts.js";
import { picking } from "./runs.js";
import { start } from "./matrix.js";
import "./strips.js";

const root = document.documentElement;
try {
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
} catch {
  // a report in a frame that keeps nothing
}
document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // it is forgotten with the page
  }
  drawAll(document);
});

listen();
picking();
drawAll(document);
start(document);
follow();
