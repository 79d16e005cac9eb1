// The SQL page: colours what is typed, completes names, runs with Ctrl-Enter, sorts the result, keeps the query in the address.
// Without this script the page still runs queries.
import { tokens } from "./sql_tokens.js";

const form = document.getElementById("ask");
const editor = document.getElementById("sql");
const SHOWN = 8;

// --- running, and the address ---

for (const hint of document.querySelectorAll(".keyhint")) hint.hidden = false;

const address = document.getElementById("address");
const isSaved = location.pathname.startsWith("/sql/saved/"); // which has an address of its own
if (address && !isSaved) history.replaceState(null, "", address.href); // a reload shows the query without running it again

form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("button[value=run]"));
});

document.getElementById("name").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return; // which would press the first button, Run
  event.preventDefault();
  event.stopPropagation();
  form.requestSubmit(document.getElementById("save"));
});

// --- colours: the same text again, over the one that is typed, which is not painted ---

const keywords = new Set(form.getAttribute("data-keywords").split(" ")); // form.dataset is its field of that name
const COLOURED = 20_000; // characters; a longer query is plain, so that typing is never slow
const box = document.createElement("div");
const paint = document.createElement("pre");
box.className = "editor";
paint.className = "paint painted";
paint.setAttribute("aria-hidden", "true");
editor.replaceWith(box);
box.append(paint, editor);

const place = () => {
  paint.style.width = `${editor.clientWidth}px`; // without the scroll bar, so that lines break at the same place
  paint.style.height = `${editor.clientHeight}px`;
  paint.scrollTop = editor.scrollTop;
};

const colour = () => {
  const isPlain = editor.value.length > COLOURED;
  box.classList.toggle("coloured", !isPlain);
  if (isPlain) return paint.replaceChildren();
  paint.replaceChildren(
    ...tokens(editor.value, keywords).map(([kind, text]) => {
      if (!kind) return text;
      const span = document.createElement("span");
      span.className = `t-${kind}`;
      span.textContent = text;
      return span;
    }),
    "\n", // a last line that is empty is a line, too
  );
  return place();
};

editor.addEventListener("input", colour);
editor.addEventListener("scroll", place);
new ResizeObserver(place).observe(editor);
colour();

// --- completion ---

const tables = new Map(
  [...document.querySelectorAll("[data-table]")].map((table) => [
    table.dataset.table,
    [...table.querySelectorAll("li code")].map((column) => column.textContent),
  ]),
);

const quoted = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

// The tables of a query, by name and by alias.
const named = (sql) => {
  const found = new Map();
  for (const [, name, alias] of sql.matchAll(/\b(?:from|join)\s+"?([\w]+)"?(?:\s+(?:as\s+)?([a-z_]\w*))?/gi)) {
    const columns = tables.get(name) ?? tables.get(name.toLowerCase());
    if (!columns) continue;
    found.set(name.toLowerCase(), columns);
    if (alias) found.set(alias.toLowerCase(), columns);
  }
  return found;
};

// The suggestions at the caret: names, and how many characters before the caret they replace.
const offers = (sql, caret) => {
  const [, owner, word] = /(?:([\w]+)\.)?("?[\w]*)$/.exec(sql.slice(0, caret));
  const known = named(sql);
  const columns = owner ? (known.get(owner.toLowerCase()) ?? tables.get(owner) ?? []) : [...new Set([...known.values()].flat())];
  const names = owner ? columns : [...columns, ...tables.keys()];
  const begun = word.replace(/^"/, "").toLowerCase();
  if (!begun && !owner) return { names: [], length: 0 };
  const fit = names.filter((name) => name.toLowerCase().startsWith(begun) && name.toLowerCase() !== begun);
  return { names: fit.slice(0, SHOWN), length: word.length };
};

const list = document.createElement("ul");
list.id = "offers";
list.className = "offers";
list.setAttribute("role", "listbox");
list.setAttribute("aria-label", "Suggested names");
list.hidden = true;
box.after(list);
editor.setAttribute("aria-autocomplete", "list");
editor.setAttribute("aria-controls", list.id);

let offered = { names: [], length: 0 };
let chosen = -1;

const mark = (index) => {
  chosen = index;
  [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
  if (index < 0) editor.removeAttribute("aria-activedescendant");
  else editor.setAttribute("aria-activedescendant", list.children[index].id);
};

const hide = () => {
  list.hidden = true;
  list.replaceChildren();
  mark(-1);
};

const take = (name) => {
  const end = editor.selectionEnd;
  editor.setRangeText(quoted(name), end - offered.length, end, "end");
  colour();
  hide();
  editor.focus();
};

const offer = () => {
  offered = offers(editor.value, editor.selectionEnd);
  hide();
  if (!offered.names.length) return;
  list.append(
    ...offered.names.map((name, at) => {
      const option = document.createElement("li");
      option.id = `offer-${at}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.textContent = name;
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault(); // the editor keeps the focus
        take(name);
      });
      return option;
    }),
  );
  list.hidden = false;
};

editor.addEventListener("input", offer);
editor.addEventListener("blur", hide);
editor.addEventListener("keydown", (event) => {
  if (list.hidden) return;
  const last = list.children.length - 1;
  const moves = { ArrowDown: chosen >= last ? 0 : chosen + 1, ArrowUp: chosen <= 0 ? last : chosen - 1 };
  if (event.key in moves) mark(moves[event.key]);
  else if (event.key === "Enter" && chosen >= 0 && !event.ctrlKey && !event.metaKey) take(offered.names[chosen]);
  else if (event.key === "Escape" || event.key === "ArrowLeft" || event.key === "ArrowRight") return hide();
  else return undefined;
  event.preventDefault();
  return undefined;
});

// --- sorting ---

const compare = (isNumber) => (one, other) => {
  if (one.isNull || other.isNull) return one.isNull - other.isNull; // nulls come last in both orders
  if (isNumber) return Number(one.text) - Number(other.text);
  return one.text < other.text ? -1 : one.text > other.text ? 1 : 0;
};

const textOf = (cell) => (cell.querySelector("details > bdi") ?? cell).textContent;

const sort = (table, at, heading) => {
  const isUp = heading.getAttribute("aria-sort") !== "ascending";
  const rows = [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[at];
    return { row, text: textOf(cell), isNull: cell.classList.contains("null"), isNumber: cell.classList.contains("n") };
  });
  const order = compare(rows.every((one) => one.isNull || one.isNumber));
  rows.sort((one, other) => (one.isNull || other.isNull || isUp ? order(one, other) : order(other, one)));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
  table.tBodies[0].append(...rows.map((one) => one.row));
};

for (const table of document.querySelectorAll("table.answer")) {
  [...table.tHead.rows[0].cells].forEach((heading, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, at, heading));
    heading.append(button);
  });
}
