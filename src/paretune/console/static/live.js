// Parts of a page that change while a run goes on. The server says that something changed; the page is asked for
// again, at most once in a while, and only the parts that differ are put in, one at a time, so that the page
// stays ready for its reader. Feeds are not put in anew: what follows the last line that is there is appended.
import { drawAll } from "./charts.js";

const PAUSE = 700; // milliseconds between two looks, more where a look is slow
const KEPT = 2000; // lines of a feed that stay on the page
const REFUSED = 5000; // milliseconds until a stream that was refused is asked for again
const OVER = ["succeeded", "failed", "cancelled"];
const last = new Map(); // part -> its HTML as it came
let asked = false;
let again = false;

export function follow() {
  poll();
  const where = document.querySelector("[data-live]");
  if (!where || OVER.includes(where.dataset.state)) return;
  listen(where.dataset.live);
}

function listen(address) {
  const source = new EventSource(address);
  // A stream that ends is opened anew by the browser; one that was refused is not.
  source.onerror = () => source.readyState === EventSource.CLOSED && setTimeout(listen, REFUSED, address);
  source.onmessage = (message) => {
    const now = JSON.parse(message.data);
    if (OVER.includes(now.state)) source.close();
    feed();
    renew();
  };
}

// A page without a live run of its own says with data-poll after how many seconds it wants to be asked for.
function poll() {
  const wish = document.querySelector("[data-poll]");
  if (wish) setTimeout(() => renew().finally(poll), 1000 * Number(wish.dataset.poll));
}

export async function renew() {
  if (asked) {
    again = true;
    return;
  }
  asked = true;
  const began = performance.now();
  try {
    const answer = await fetch(location.href);
    if (answer.status === 202) again = true; // the record is read anew
    else if (answer.ok) await put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    again = true; // the server is away for a moment
  } finally {
    setTimeout(() => {
      asked = false;
      if (again) {
        again = false;
        renew();
      }
    }, Math.max(PAUSE, 2 * (performance.now() - began)));
  }
}

const rest = () => new Promise((done) => setTimeout(done, 0));

async function put(fresh) {
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const name = part.dataset.part;
    const html = part.outerHTML;
    const old = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
    const before = last.get(name) ?? old?.outerHTML;
    if (!old || before === html || old.querySelector("input:focus, textarea:focus, select:focus")) continue;
    last.set(name, html);
    if (part.hasAttribute("data-chart") && old.hasAttribute("data-chart")) redraw(old, part);
    else swap(old, part);
    await rest();
  }
}

function redraw(old, part) {
  old.querySelector("script").textContent = part.querySelector("script").textContent;
  drawAll(old);
}

const boxes = (part) => [...(part.matches(".scroll") ? [part] : []), ...part.querySelectorAll(".scroll")];

// What the reader did to the old one is done to the new one: focus, scrolling, folds and ticks.
function swap(old, part) {
  const focus = old.contains(document.activeElement) ? path(old, document.activeElement) : null;
  const scrolled = boxes(old).map((box) => [box.scrollLeft, box.scrollTop]);
  const open = [...old.querySelectorAll("details")].map((fold) => fold.open);
  const ticked = new Set([...old.querySelectorAll("input:checked")].map((box) => box.value));
  const fresh = document.importNode(part, true);
  old.replaceWith(fresh);
  boxes(fresh).forEach((box, i) => scrolled[i] && ([box.scrollLeft, box.scrollTop] = scrolled[i]));
  fresh.querySelectorAll("details").forEach((fold, i) => (fold.open = open[i] ?? fold.open));
  for (const box of fresh.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  if (focus) find(fresh, focus)?.focus({ preventScroll: true });
  drawAll(fresh);
}

function path(root, node) {
  const same = node.id ? `#${CSS.escape(node.id)}` : node.getAttribute("href") ? `[href="${CSS.escape(node.getAttribute("href"))}"]` : "";
  const steps = [];
  for (let at = node; at !== root; at = at.parentElement) steps.unshift([...at.parentElement.children].indexOf(at));
  return { same, steps };
}

function find(root, { same, steps }) {
  return (same && root.querySelector(same)) || steps.reduce((at, step) => at?.children[step], root);
}

// -- feeds ---------------------------------------------------------------------------------------------

let fed = false;
let hungry = false;

async function feed() {
  const list = document.querySelector("[data-feed]");
  if (!list) return;
  if (fed) {
    hungry = true;
    return;
  }
  fed = true;
  try {
    do {
      hungry = false;
      const since = new URL(list.dataset.feed, location.href);
      since.searchParams.set("since", list.dataset.next);
      const answer = await fetch(since, { headers: { "X-Part": "feed" } });
      if (!answer.ok) break;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-feed]");
      append(list, fresh);
      if (fresh.hasAttribute("data-more")) hungry = true;
      await rest();
    } while (hungry);
  } catch {
    setTimeout(feed, PAUSE); // the server is away for a moment
  } finally {
    fed = false;
  }
}

// Newest first. Whoever has scrolled down to read stays where they are.
function append(list, fresh) {
  list.dataset.next = fresh.dataset.next;
  const lines = [...fresh.querySelectorAll("[data-seq]")];
  if (!lines.length) return;
  const height = list.scrollHeight;
  list.prepend(...lines.map((line) => document.importNode(line, true)));
  if (list.scrollTop > 0) list.scrollTop += list.scrollHeight - height;
  list.querySelector("[data-none]")?.remove();
  while (list.children.length > KEPT) list.lastElementChild.remove();
}
