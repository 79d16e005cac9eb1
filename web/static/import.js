// Keeps the page of a running import or audit up to date: texts as they change, the whole page when its state changes. The server
// sends each change of an import, with its texts, as an event; if it has no free stream, and for an audit, the page is fetched
// again every second.
"use strict";

const page = document.querySelector("#import, #audit");
const POLL_MS = 1000;
const POLL_MS_MAX = 5000;
const STREAM_AGAIN_MS = 30000;
let pollMs = POLL_MS;

const at = (thing, path) => path.split(".").reduce((inner, name) => inner?.[name], thing);

const showTexts = (textOf, max, value) => {
  for (const element of page.querySelectorAll("[data-show]")) {
    const text = textOf(element.dataset.show);
    if (text) element.textContent = text; // a rate that is not known yet leaves the last one
  }
  const bar = document.getElementById("records");
  if (bar) Object.assign(bar, { max, value });
};

// A reload would close an open dialog, so it waits until the dialog is closed.
const isAsking = () => page.querySelector("dialog[open], details[open]") !== null;

let isOld = false;
const reloadWhenFree = () => {
  isOld = true;
  if (!isAsking()) location.reload();
};
page.addEventListener("close", () => isOld && reloadWhenFree(), true);

const differs = (state, pause, position) =>
  state !== page.dataset.state || pause !== page.dataset.pause || position !== page.dataset.position;

const takeEvent = (one) => {
  const { records, text } = one.progress;
  const lacksCounts = one.counts.total > 0 && !page.querySelector("[data-show='counts.total']");
  const isChanged = differs(one.state, String(one.pause_requested), String(one.queue_position ?? ""));
  if (isChanged || lacksCounts) reloadWhenFree();
  showTexts((path) => at(text, path), records.total || 1, records.done);
};

const takePage = (fresh) => {
  const { state, pause, position } = fresh.dataset;
  const shown = (root) => root.querySelectorAll("[data-show]").length;
  if (differs(state, pause, position) || shown(fresh) !== shown(page)) reloadWhenFree();
  const bar = fresh.querySelector("#records");
  showTexts((path) => fresh.querySelector(`[data-show="${path}"]`)?.textContent, bar?.max, bar?.value);
};

const watch = () => {
  const stream = new EventSource(`${page.dataset.url}/events`);
  stream.onmessage = (event) => {
    const one = JSON.parse(event.data);
    if (one.progress.phase === "done") stream.close();
    takeEvent(one);
  };
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return; // it reconnects by itself
    setTimeout(poll, POLL_MS, Date.now() + STREAM_AGAIN_MS);
  };
  window.addEventListener("pagehide", () => stream.close());
};

const poll = async (until) => {
  try {
    const response = await fetch(location.href);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(page.id);
    if (response.status === 401 || response.redirected) return location.assign("/sign-in");
    if (response.ok && fresh) {
      pollMs = POLL_MS;
      takePage(fresh);
    }
  } catch {
    pollMs = Math.min(pollMs * 2, POLL_MS_MAX); // the server does not answer; the page stays
  }
  if (Date.now() > until) watch();
  else setTimeout(poll, pollMs, until);
};

if (page.dataset.url) watch();
else poll(Infinity);
