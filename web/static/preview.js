// The first rows of a file, and the mapping of its columns.
import { cut, listed } from "./text.js";
import { ask } from "./transfer.js";

const HEAD_BYTES = 256 << 10;
const WHOLE_BYTES = 8 << 20;
const AS_IT_IS = "\u0000"; // no column can have this name

const isReadHereAndThere = async (file) => {
  const mark = new TextDecoder("latin1").decode(await file.slice(0, 4).arrayBuffer());
  return mark.startsWith("PK") || mark === "PAR1";
};

/** Return the server's preview of a file, read with these options. Throws Refused, or an Error for a file that is too large. */
export const lookAt = async (file, dataset, reading, token, signal) => {
  const whole = file.size <= ((await isReadHereAndThere(file)) ? WHOLE_BYTES : HEAD_BYTES);
  if (!whole && (await isReadHereAndThere(file))) {
    throw new Error("No preview: Excel, Parquet and ZIP files are shown up to 8 MiB. The whole file is checked after the upload.");
  }
  const asked = new URLSearchParams({ whole, filename: file.name, ...reading });
  const body = whole ? file : file.slice(0, HEAD_BYTES);
  const path = `/v1/datasets/${encodeURIComponent(dataset)}/preview?${asked}`;
  return ask(path, token, { method: "POST", body, type: "application/octet-stream", signal });
};

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

/** The columns of files with one header. */
export class Columns {
  constructor(seen) {
    this.seen = seen;
    this.choices = new Map(seen.columns.map((column) => [column.name, this.valueOf(column, column.suggested)]));
    this.isEdited = false;
    this.warnings = element("p", { className: "up-wrong" });
    this.warnings.setAttribute("role", "status");
  }

  static key(dataset, seen) {
    return JSON.stringify([dataset, seen.columns.map((column) => column.name)]);
  }

  get names() {
    return this.seen.columns.map((column) => column.name);
  }

  /** The mapping for the upload: only columns that differ from what the server would choose. */
  get mapping() {
    const mapping = {};
    for (const { name, becomes } of this.seen.columns) {
      const choice = this.choices.get(name);
      if (choice !== AS_IT_IS && choice !== becomes) mapping[name] = choice;
    }
    return mapping;
  }

  get isToBeRemembered() {
    return this.isEdited || Object.keys(this.mapping).length > 0;
  }

  valueOf({ becomes }, column) {
    if (column === "" || this.seen.takes.includes(column)) return column;
    return this.seen.takes.includes(becomes) ? becomes : AS_IT_IS;
  }

  /** Columns and rows, as elements. ``like``: the file whose mapping is used for this one too. */
  shown(seen, name, like = "") {
    const head = element("tr", {}, ...seen.columns.map(({ name }) => element("th", { scope: "col" }, element("bdi", { textContent: cut(name, 60) }))));
    const table = element("table", { className: "up-rows" }, element("thead", {}, head));
    if (!like) {
      const cells = seen.columns.map((column) => element("td", {}, this.select(column), ...this.why(column)));
      table.append(element("tbody", { className: "up-map" }, element("tr", {}, ...cells)));
    }
    const body = element("tbody");
    for (const row of seen.rows) {
      body.append(element("tr", {}, ...row.map((value) => element("td", {}, value === null ? "" : element("bdi", { textContent: cut(value, 60) })))));
    }
    table.append(body);
    const scrolled = element("div", { className: "wide", tabIndex: 0 }, table);
    scrolled.setAttribute("role", "region");
    scrolled.setAttribute("aria-label", `First rows of ${cut(name, 60)}`);
    this.warn();
    return [scrolled, ...(like ? [] : [this.warnings])];
  }

  /** How the file is read, and where the mapping of its columns comes from. */
  told(seen, like = "") {
    const from = like ? `columns as in ${cut(like, 60)}` : this.seen.remembered && "columns as last time";
    const how = seen.options_remembered && "options as last time";
    return [cut(seen.text, 120), how, from].filter(Boolean).join("; ");
  }

  why({ why, suggested }) {
    const words = { similar: "Suggested", remembered: "As last time" }[why];
    return words && suggested !== null ? [element("span", { className: "soft", textContent: words })] : [];
  }

  select(column) {
    const select = element("select");
    select.setAttribute("aria-label", `${cut(column.name, 60)} becomes`);
    const offer = (value, textContent) => select.append(element("option", { value, textContent }));
    if (column.becomes === null) offer(AS_IT_IS, "Not mapped");
    else if (!this.seen.takes.includes(column.becomes)) offer(AS_IT_IS, this.seen.takes_others ? "Keep" : column.becomes);
    for (const name of this.seen.takes) offer(name, `→ ${name}`);
    offer("", "Skip");
    select.value = this.choices.get(column.name);
    select.addEventListener("change", () => {
      this.choices.set(column.name, select.value);
      this.isEdited = true;
      this.warn();
    });
    return select;
  }

  /** Say what is wrong with the mapping: with it the file would be rejected. */
  warn() {
    const { columns, needs } = this.seen;
    const becomes = columns.map((column) => {
      const choice = this.choices.get(column.name);
      return choice === AS_IT_IS ? column.becomes : choice;
    });
    const lacking = needs.filter((name) => !becomes.includes(name));
    const twice = becomes.filter((name, at) => name && becomes.indexOf(name) !== at);
    const unknown = columns.filter((_, at) => becomes[at] === null).map(({ name }) => cut(name, 40));
    const wrong = [
      lacking.length && `Choose which ${lacking.length === 1 ? "column is" : "columns are"} ${listed(lacking)}.`,
      twice.length && `Choose only one column for ${listed(twice)}.`,
      unknown.length && `The dataset has no column for ${listed([...unknown.slice(0, 8), ...(unknown.length > 8 ? ["others"] : [])])}. Choose a column, or Skip.`,
    ].filter(Boolean);
    this.warnings.textContent = wrong.join(" ");
  }
}
