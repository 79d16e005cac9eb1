// Shows times in the reader's zone: how long ago, if that is less than a day, or the date. Hovering shows the exact time, here and in UTC.
// The server writes them in UTC, which is what a reader without this script sees. Within .exact the exact time is shown.
const DAY = 86_400;
const STEPS = [[3600, "hour"], [60, "minute"], [1, "second"]];
const EVERY_MS = 20_000;

const relative = new Intl.RelativeTimeFormat("en");
const short = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});

const said = (moment, now) => {
  const seconds = (moment - now) / 1000;
  const far = Math.abs(seconds);
  if (far >= DAY) return short.format(moment);
  if (far < 5) return "just now";
  const [length, unit] = STEPS.find(([length]) => far >= length);
  return relative.format(Math.trunc(seconds / length), unit);
};

const show = (one, now) => {
  const moment = Date.parse(one.dateTime);
  if (Number.isNaN(moment) || !one.dateTime.includes("T")) return;
  if (!one.title) one.title = `${exact.format(moment)} (${one.textContent.trim()})`;
  const text = one.closest(".exact") ? exact.format(moment) : said(moment, now);
  if (one.textContent !== text) one.textContent = text;
};

const showAll = (within) => {
  const now = Date.now();
  for (const one of within.querySelectorAll("time[datetime]")) show(one, now);
};

showAll(document);
setInterval(() => showAll(document), EVERY_MS);
// What other scripts put into the page later.
new MutationObserver((changes) => {
  if (changes.some((change) => change.target.nodeName !== "TIME")) showAll(document);
}).observe(document.querySelector("main"), { childList: true, subtree: true });
