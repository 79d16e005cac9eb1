// Corrects findings in place: a cell is saved when it is left or by Enter, a button acts at once, and the page stays where it is.
// Each act sends the whole form, as it would be sent without this script, and takes the rows out of the page that is answered.
"use strict";

const bar = document.getElementById("fix-bar");
const form = document.getElementById("fixes");
const FIELDS = "input[id^='new.'], textarea[id^='new.']";

const told = (root) => root.querySelector("#fix-said")?.textContent.trim();

const tell = (words, isAlarm = false) => {
  const said = document.getElementById("fix-said");
  said.textContent = words;
  said.classList.toggle("wrong", isAlarm);
};

/** Whether a field has what the server does not have yet: also what it refused, which the page shows again. */
const isTyped = (field) => field.value !== form.elements[field.name.replace("new.", "was.")].value;
const isAnyTyped = () => [...(form?.querySelectorAll(FIELDS) || [])].some(isTyped);

/** What would have to be sent: the fields as they are, and the button that was pressed. */
const contents = (button) => {
  const body = new URLSearchParams(new FormData(form));
  if (button) body.set(button.name, button.value);
  return body;
};

/** Where the focus is, so that it can be put there again in rows that were replaced. */
const placeOfFocus = () => {
  const here = document.activeElement;
  if (here?.id.startsWith("new.")) return { id: here.id, from: here.selectionStart, to: here.selectionEnd };
  const row = here?.closest("tr[id]");
  return row ? { row: row.id, value: here.value } : null;
};

const focusAgain = (place) => {
  if (!place) return;
  const row = place.row && document.getElementById(place.row);
  const found = place.id
    ? document.getElementById(place.id)
    : row && (row.querySelector(`button[value="${CSS.escape(place.value || "")}"]`) || row.querySelector(FIELDS) || row.querySelector("button"));
  found?.focus({ preventScroll: true });
  if (place.id && found) found.setSelectionRange(place.from, place.to);
};

/** Put in what the server answered; what was typed since it was asked stays. */
const take = (fresh, sent) => {
  const typed = [...form.querySelectorAll(FIELDS)].filter((field) => field.value !== sent.get(field.name));
  const kept = new Map(typed.map((field) => [field.id, field.value]));
  const place = placeOfFocus();
  form.replaceChildren(...fresh.getElementById("fixes").childNodes);
  for (const id of ["fix-told", "fix-go"]) document.getElementById(id).replaceChildren(...fresh.getElementById(id).childNodes);
  const now = fresh.getElementById("fix-bar");
  bar.className = now.className;
  document.getElementById("fix-discard").hidden = fresh.getElementById("fix-discard").hidden;
  const [version, newer] = [document, fresh].map((root) => root.querySelector("#fix-bar input[name=version]"));
  if (version && newer) version.value = newer.value;
  for (const [id, value] of kept) {
    const field = document.getElementById(id);
    if (field) field.value = value;
  }
  focusAgain(place);
};

const KEPT_ALIVE_BYTES = 60_000; // browsers let requests of up to 64 KiB end after their page
let isSending = false;

const send = async (button) => {
  const sent = contents(button);
  const keepalive = String(sent).length < KEPT_ALIVE_BYTES;
  let answer;
  tell("Saving …");
  isSending = keepalive;
  try {
    answer = await fetch(form.action, { method: "POST", body: sent, headers: { Accept: "text/html" }, keepalive });
  } catch {
    return tell("Not saved: the server does not answer. What you typed stays here; try again.", true);
  } finally {
    isSending = false;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (answer.redirected && !fresh.getElementById("fixes")) return location.assign(answer.url); // imported again, or signed out
  if (!fresh.getElementById("fixes")) {
    const why = fresh.querySelector("main p.lead, main p")?.textContent.trim() || `The server answered ${answer.status}.`;
    return tell(`Not saved. ${why}`, true);
  }
  take(fresh, sent);
  tell(told(fresh) || (answer.ok ? "Saved." : "Not saved."), !answer.ok);
};

// One after the other: each is answered with the rows as they are then.
let turn = Promise.resolve();
let waiting = 0;
const inTurn = (act) => {
  waiting++;
  turn = turn.then(act).catch((error) => tell(`Error in this page: ${error.message}. Reload it and try again.`, true)).then(() => waiting--);
};

form?.addEventListener("change", (event) => {
  if (event.target.matches(FIELDS)) inTurn(() => (isAnyTyped() ? send() : null));
});

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  // Enter has changed the field first, which is being saved: once more would overwrite what the answer is to show
  if (button?.value === "save" && waiting) return;
  if (button?.value === "again") button.disabled = true; // a second press would not be another import, but look like one
  inTurn(async () => {
    if (button?.value === "save" && !isAnyTyped()) return;
    await send(button);
    if (button) button.disabled = false;
  });
});

window.addEventListener("beforeunload", (event) => {
  if (!isSending && isAnyTyped()) event.preventDefault();
});
