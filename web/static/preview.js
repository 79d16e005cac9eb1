// What a file is read as, shown before its upload: the server's panel, and the choices that are made in it.
import { cut } from "./text.js";
import { ask } from "./transfer.js";

const HEAD_BYTES = 256 << 10;
const WHOLE_BYTES = 8 << 20;
const BUSY_MS = 2000;
const KEEP = "keep"; // values of a column's select, as web/pages/upload_choices.py has them
const SKIP = "skip";
const TO = "to:";

/** After these the file may have other columns: what was said of those before is forgotten. */
const OF_OTHER_COLUMNS = ["dataset", "header_row", "sheet", "delimiter", "quote", "encoding", "records_at", "repeated_columns", "shape"];

const isReadHereAndThere = async (file) => {
  const mark = new TextDecoder("latin1").decode(await file.slice(0, 4).arrayBuffer());
  return mark.startsWith("PK") || mark === "PAR1";
};

/** Return what the server says of a file with these choices. Throws Refused, or an Error for a file that is too large. */
export const lookAt = async (file, choices, token, signal) => {
  const whole = file.size <= ((await isReadHereAndThere(file)) ? WHOLE_BYTES : HEAD_BYTES);
  if (!whole && (await isReadHereAndThere(file))) {
    throw new Error("No preview: Excel, Parquet and ZIP files are shown up to 8 MiB. The whole file is checked after the upload.");
  }
  const { mapping, ...texts } = choices;
  if (Object.keys(mapping).length) texts.mapping = JSON.stringify(mapping);
  const asked = new URLSearchParams({ whole, filename: file.name, ...texts });
  const body = whole ? file : file.slice(0, HEAD_BYTES);
  const look = () => ask(`/upload/look?${asked}`, token, { method: "POST", body, type: "application/octet-stream", signal });
  return look().catch(async (error) => {
    if (error.status !== 503) throw error;
    await new Promise((resolve) => setTimeout(resolve, BUSY_MS)); // many look at files just now
    return look();
  });
};

const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

/** The panel of an answer. In a form of many files its buttons are no submit buttons, and its fields are not the form's. */
export const panelOf = (seen, isMapped) => {
  const panel = parsed(seen.html).querySelector(".up-panel");
  for (const button of panel.querySelectorAll("button")) button.type = "button";
  if (!isMapped) panel.querySelector(".up-map")?.remove();
  return panel;
};

/** The part of a panel that depends on what its columns become. */
export const outcomeOf = (seen) => parsed(seen.html).querySelector(".up-outcome");

const object = (text) => {
  try {
    return JSON.parse(text || "{}");
  } catch {
    return {};
  }
};

const joined = (old, added) =>
  [old, added].every((one) => one && typeof one === "object" && !Array.isArray(one))
    ? Object.fromEntries([...new Set([...Object.keys(old), ...Object.keys(added)])].map((name) => [name, name in added ? joined(old[name], added[name]) : old[name]]))
    : added;

/** What is chosen for one file beside the form: by the buttons of its panel. */
export class Settings {
  dataset = "";
  options = {};
  said = {}; // what columns become, chosen by hand or by a button

  /** Apply a button: ``header_row=3``; an empty value unsets. ``before``: the options that are in force. */
  apply(setting, before) {
    this.before = { dataset: this.dataset, options: { ...this.options }, said: { ...this.said } };
    const at = setting.indexOf("=");
    const [name, value] = [setting.slice(0, at), setting.slice(at + 1)];
    if (OF_OTHER_COLUMNS.includes(name)) this.said = {};
    if (name === "dataset") this.dataset = value;
    else if (name === "mapping") Object.assign(this.said, object(value));
    else this.options[name] = name === "clean" && value ? JSON.stringify(joined(object(before.clean), object(value))) : value;
  }

  /** Take back the last button, with which the file cannot be read. Return whether there was one. */
  takeBack() {
    const { before } = this;
    this.before = null;
    return Boolean(before && Object.assign(this, before));
  }

  /** The options of the form with those of this file; one that was unset here is left out. */
  over(options) {
    return Object.fromEntries(Object.entries({ ...options, ...this.options }).filter(([, value]) => value));
  }
}

/** The columns of files with one header, and what they become. */
export class Columns {
  constructor(seen) {
    this.seen = seen;
    this.choices = new Map(seen.columns.map(({ name, choice }) => [name, choice]));
    this.isEdited = false;
  }

  static key(seen) {
    return JSON.stringify([seen.dataset, seen.columns.map((column) => column.name)]);
  }

  get names() {
    return this.seen.columns.map((column) => column.name);
  }

  choose(name, choice) {
    this.choices.set(name, choice);
    this.isEdited = true;
  }

  /** What each column becomes, for another look; one that is kept as it is has nothing to say. */
  get said() {
    const told = [...this.choices].filter(([, choice]) => choice !== KEEP);
    return Object.fromEntries(told.map(([name, choice]) => [name, choice === SKIP ? "" : choice.slice(TO.length)]));
  }

  /** The mapping for the upload: only columns that differ from what the server would choose. */
  get mapping() {
    const becomes = new Map(this.seen.columns.map((column) => [column.name, column.becomes]));
    return Object.fromEntries(Object.entries(this.said).filter(([name, choice]) => choice !== becomes.get(name)));
  }

  get isToBeRemembered() {
    return this.isEdited || Object.keys(this.mapping).length > 0;
  }

  /** How the file is read, and where the choices come from. */
  told(seen, like = "") {
    const from = like ? `columns as in ${cut(like, 60)}` : this.seen.remembered && "columns as last time";
    const how = seen.options_remembered && "options as last time";
    return [cut(seen.text, 120), how, from].filter(Boolean).join("; ");
  }
}
