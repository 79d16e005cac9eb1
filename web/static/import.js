// Keeps the page of a running import up to date: numbers as they change, the whole page when its state does.
"use strict";

const page = document.getElementById("import");
const asks = page.querySelectorAll("details");
const EVERY = 700;
const SLOWEST = 5000;
let pause = EVERY;

const at = (thing, path) => path.split(".").reduce((inner, name) => (inner == null ? inner : inner[name]), thing);

const show = (one) => {
  const { total, inserted, updated, unchanged, failed } = one.counts;
  const known = { ...one, left: total - inserted - updated - unchanged - failed };
  for (const element of page.querySelectorAll("[data-show]")) {
    const value = at(known, element.dataset.show);
    if (typeof value === "number") element.textContent = value.toLocaleString("en");
  }
  const parts = document.getElementById("parts");
  if (parts) {
    parts.max = one.parts.total || 1;
    parts.value = one.parts.done;
  }
};

const isOld = (one) =>
  one.state !== page.dataset.state ||
  String(one.queue_position ?? "") !== page.dataset.position ||
  (one.counts.total > 0 && !page.querySelector("[data-show='counts.total']"));

const look = async () => {
  try {
    const answer = await fetch(page.dataset.url, { headers: { Accept: "application/json" } });
    if (answer.status === 401) return location.assign("/sign-in");
    if (answer.ok) {
      const one = await answer.json();
      pause = EVERY;
      // While somebody reads the question whether to cancel or pause, the page must not jump.
      if (isOld(one) && ![...asks].some((ask) => ask.open)) return location.reload();
      show(one);
    }
  } catch {
    pause = Math.min(pause * 2, SLOWEST); // the server is away; the page still stands
  }
  setTimeout(look, pause);
};

setTimeout(look, pause);
