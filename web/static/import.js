// Keeps the page of a running import up to date: numbers as they change, the whole page when its state does. The server
// tells of each change by itself; where it has no free stream, it is asked again and again.
"use strict";

const page = document.getElementById("import");
const pace = document.getElementById("pace");
const EVERY = 700;
const SLOWEST = 5000;
const STREAM_AGAIN = 30000;
let pause = EVERY;

const at = (thing, path) => path.split(".").reduce((inner, name) => (inner == null ? inner : inner[name]), thing);

const span = (seconds) => {
  if (seconds < 60) return `${Math.max(Math.ceil(seconds), 1)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

const show = (one) => {
  const { total, inserted, updated, unchanged, failed } = one.counts;
  const done = inserted + updated + unchanged + failed;
  const known = { progress: { records: { total, done } }, ...one, left: total - done };
  for (const element of page.querySelectorAll("[data-show]")) {
    const value = at(known, element.dataset.show);
    if (typeof value === "number") element.textContent = value.toLocaleString("en");
  }
  const records = document.getElementById("records");
  if (records) {
    records.max = total || 1;
    records.value = done;
  }
  const rate = at(one, "progress.records_per_second");
  if (pace && rate === 0) pace.textContent = "no record in the last seconds";
  if (pace && rate > 0) {
    const records = Math.max(Math.round(rate), 1);
    pace.textContent = `${records.toLocaleString("en")} ${records === 1 ? "record" : "records"} a second, about ${span(one.progress.seconds_left)} left`;
  }
};

const isOld = (one) =>
  one.state !== page.dataset.state ||
  String(one.pause_requested) !== page.dataset.pause ||
  String(one.queue_position ?? "") !== page.dataset.position ||
  (one.counts.total > 0 && !page.querySelector("[data-show='counts.total']"));

// While somebody reads the question whether to cancel or pause, the page must not jump.
const isAsking = () => page.querySelector("dialog[open], details[open]") !== null;

let latest = null;
const take = (one) => {
  latest = one;
  if (isOld(one) && !isAsking()) location.reload();
  else show(one);
};
page.addEventListener("close", () => latest && take(latest), true);

const watch = () => {
  const stream = new EventSource(`${page.dataset.url}/events`);
  stream.onmessage = (event) => {
    const one = JSON.parse(event.data);
    if (one.progress.phase === "done") stream.close();
    take(one);
  };
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return; // it comes back by itself
    setTimeout(look, EVERY, Date.now() + STREAM_AGAIN);
  };
  window.addEventListener("pagehide", () => stream.close());
};

const look = async (until) => {
  try {
    const answer = await fetch(page.dataset.url, { headers: { Accept: "application/json" } });
    if (answer.status === 401) return location.assign("/sign-in");
    if (answer.ok) {
      pause = EVERY;
      take(await answer.json());
    }
  } catch {
    pause = Math.min(pause * 2, SLOWEST); // the server is away; the page still stands
  }
  if (Date.now() > until) watch();
  else setTimeout(look, pause, until);
};

watch();
