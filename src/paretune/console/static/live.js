// Parts of a page that change while a run goes on. The server says that something changed; the view is asked
// for again, at most once in a while, and only the parts that differ are put in.
import { drawAll } from "./charts.js";

const PAUSE = 700;
let asked = false;
let again = false;

export function follow() {
  const where = document.querySelector("[data-live]");
  if (!where || ["succeeded", "failed", "cancelled"].includes(where.dataset.state)) return;
  const source = new EventSource(where.dataset.live);
  source.onmessage = (message) => {
    const now = JSON.parse(message.data);
    if (["succeeded", "failed", "cancelled"].includes(now.state)) source.close();
    renew();
  };
}

export async function renew() {
  if (asked) {
    again = true;
    return;
  }
  asked = true;
  try {
    const answer = await fetch(location.href);
    if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } finally {
    setTimeout(() => {
      asked = false;
      if (again) {
        again = false;
        renew();
      }
    }, PAUSE);
  }
}

function put(fresh) {
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = document.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
    if (!old || old.contains(document.activeElement)) continue;
    part.before_html = part.innerHTML;
    if ((old.before_html ?? old.innerHTML) === part.before_html) continue;
    old.replaceWith(part);
    drawAll(part);
  }
}
