// The upload form with several files, their previews and their progress. Without this script the form uploads one file.
import { cut, size, timeLeft } from "./text.js";
import { Columns, lookAt } from "./preview.js";
import { Halted, Refused, Transfer, ask, giveUp, isOf, noted, storedBytes } from "./transfer.js";

const FILES_AT_ONCE = 2;
const SPEED_MS = 5000;
const LOOK_MS = 8000;

const READING = ["delimiter", "quote", "encoding", "header_row", "sheet", "records_at", "merged", "repeated_columns", "no_parent_values", "parent_by", "shape", "clean"];

const form = document.getElementById("upload");

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const button = (label, act, className = "quiet") => {
  const made = element("button", { type: "button", textContent: label, className });
  made.addEventListener("click", act);
  return made;
};

/** Bytes a second over the last seconds; 0 as long as that is not known. */
class Speed {
  seen = [];

  note(bytes) {
    const now = performance.now();
    this.seen.push([now, bytes]);
    while (this.seen.length > 2 && now - this.seen[0][0] > SPEED_MS) this.seen.shift();
  }

  get value() {
    const [first, last] = [this.seen[0], this.seen.at(-1)];
    return first && last[0] - first[0] > 500 ? ((last[1] - first[1]) / (last[0] - first[0])) * 1000 : 0;
  }
}

/** A file in the list, from its choice to its import. */
class Row {
  constructor(page, { file = null, note = null }) {
    Object.assign(this, { page, file, note, state: file ? "chosen" : "unfinished" });
    const { name, size: bytes } = file || note;
    this.name = name;
    this.bar = element("progress", { max: 1, value: 0, hidden: true });
    this.bar.setAttribute("aria-label", `${cut(name, 80)}, sent`);
    this.rate = element("p", { className: "soft up-rate", hidden: true });
    this.said = element("p", { className: "up-said" });
    this.said.setAttribute("role", "status");
    this.buttons = element("span", { className: "up-buttons" });
    this.look = element("details", { className: "up-look", hidden: true }, element("summary", { textContent: "First rows and columns" }));
    const title = element("strong", {}, element("bdi", { textContent: cut(name, 120) }));
    const line = element("div", { className: "up-line" }, title, element("span", { className: "soft", textContent: size(bytes) }), this.buttons);
    this.seen = element("p", { className: "soft up-dialect" });
    this.item = element("li", { className: "up-file" }, line, this.bar, this.rate, this.said, this.seen, this.look);
    this.offer();
  }

  // --- what can be done with it ---

  offer() {
    const label = (words, act, className) => {
      const made = button(words, act, className);
      made.setAttribute("aria-label", `${words}: ${cut(this.name, 80)}`);
      return made;
    };
    const pause = () => this.transfer.halt();
    const offers = {
      chosen: [["Remove", () => this.leave(), "plain"]],
      queued: [["Remove", () => this.leave(), "plain"]],
      sending: [...(this.transfer?.isDirect ? [["Pause", pause]] : []), ["Cancel", () => this.cancel(), "plain"]],
      paused: [["Resume", () => this.goOn()], ["Cancel", () => this.cancel(), "plain"]],
      failed: [["Try again", () => this.goOn()], ["Remove", () => this.cancel(), "plain"]],
      unfinished: [["Choose the file", () => this.chooseAgain()], ["Discard", () => this.cancel(), "plain"]],
      done: [],
    }[this.state];
    const held = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...offers.map(([words, act, className]) => label(words, act, className)));
    if (held) (this.buttons.querySelector("button") || this.said.querySelector("a"))?.focus();
  }

  become(state, words = "", isAlarm = false) {
    this.state = state;
    this.said.className = isAlarm ? "up-said alarm" : "up-said soft";
    this.said.replaceChildren(words);
    this.item.dataset.state = state;
    this.offer();
    this.page.settle();
  }

  leave() {
    this.item.remove();
    this.page.rows.delete(this);
    this.page.settle();
  }

  goOn() {
    this.become("queued", "Waiting.");
    this.page.next();
  }

  async cancel() {
    if (this.state === "sending") this.canceled = true;
    await (this.transfer ? this.transfer.giveUp() : this.note && giveUp(this.note, this.page.token));
    this.leave();
  }

  /** After a reload the browser gives the page access to a file only when it is chosen again. */
  chooseAgain() {
    const input = element("input", { type: "file", hidden: true });
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.remove();
      if (file) this.takeUp(file);
    });
    this.item.append(input);
    input.click();
  }

  takeUp(file) {
    if (!isOf(this.note, file)) {
      const why = file.name !== this.note.name ? "has a different name" : file.size !== this.note.size ? `has ${size(file.size)}` : "was changed since";
      this.become("unfinished", `This is not the file of the unfinished upload: it ${why}. Choose the original file, or upload this one as a new file.`, true);
      return;
    }
    this.file = file;
    this.goOn();
  }

  // --- before ---

  preview() {
    this.looked = this.page.inTurn(() => this.lookAtIt());
  }

  async lookAtIt() {
    if (!this.page.rows.has(this)) return;
    const { token } = this.page;
    const { dataset, reading } = this.asked || this.page;
    this.looking?.abort();
    this.looking = new AbortController();
    this.columns = null;
    this.look.classList.add("up-old"); // it stays, so that nothing moves away under a click
    this.seen.textContent = "Reading the first rows …";
    try {
      const seen = await lookAt(this.file, dataset, reading, token, this.looking.signal);
      const { columns, like } = this.page.columnsOf(dataset, seen, this);
      this.columns = columns;
      this.options = seen.options;
      this.delimiter = seen.delimiter;
      this.seen.textContent = columns.told(seen, like);
      this.look.replaceChildren(this.look.querySelector("summary"), ...columns.shown(seen, this.name, like));
      this.look.hidden = false;
      this.look.open = !like;
    } catch (error) {
      if (error instanceof Halted) return;
      this.look.hidden = true;
      this.seen.textContent = error.message;
    }
    this.look.classList.remove("up-old");
  }

  get wishes() {
    const wishes = { ...this.options, ...this.asked.wishes };
    const mapping = this.columns?.mapping || {};
    if (Object.keys(mapping).length) {
      wishes.mapping = mapping;
      if (this.delimiter) wishes.delimiter ||= this.delimiter; // the one with which these columns were read
    }
    return wishes;
  }

  // --- on its way ---

  async send() {
    this.bar.hidden = this.rate.hidden = false;
    this.speed = new Speed();
    const { token } = this.page;
    this.become("sending", "Reading the first rows …");
    await Promise.race([this.looked, new Promise((resolve) => setTimeout(resolve, LOOK_MS))]); // its preview may bring a remembered mapping
    if (this.canceled) return;
    this.look.hidden = this.seen.hidden = true;
    const { note } = this;
    const asked = note ? { dataset: note.dataset, options: note.options, note } : { dataset: this.asked.dataset, options: this.wishes };
    this.transfer ||= new Transfer(this.file, { ...asked, token, by: this.page.by, tell: (news) => this.tell(news) });
    this.become("sending");
    try {
      await this.remember();
      this.arrive(await this.transfer.run());
    } catch (error) {
      if (this.canceled) return;
      this.rate.hidden = this.bar.hidden = true;
      if (error instanceof Halted) this.become("paused", `Paused; ${size(this.transfer.stored)} uploaded.`);
      else this.become("failed", error instanceof Refused ? error.message : `Error in this page: ${error.message}. Reload the page and try again.`, true);
    }
  }

  async remember() {
    const options = this.options || {};
    if (this.note || !this.columns || !(this.columns.isToBeRemembered || Object.keys(options).length)) return;
    const body = JSON.stringify({ columns: this.columns.names, mapping: this.columns.mapping, filename: this.name, options });
    const path = `/v1/datasets/${encodeURIComponent(this.asked.dataset)}/mappings`;
    await ask(path, this.page.token, { method: "PUT", body }).catch(() => {}); // the upload does not depend on it
  }

  tell({ sent, waiting, way }) {
    if (this.state !== "sending") return;
    if (way) this.said.textContent = way;
    if (this.transfer.isDirect !== this.wasDirect) {
      this.wasDirect = this.transfer.isDirect;
      this.offer();
    }
    if (waiting !== undefined) this.item.classList.toggle("up-waits", waiting);
    if (waiting) this.rate.textContent = "Connection lost. The upload continues when it is back.";
    if (sent === undefined) return;
    if (sent < (this.sent || 0)) this.speed = new Speed();
    this.sent = sent;
    this.speed.note(sent);
    this.bar.value = this.file.size ? sent / this.file.size : 1;
    const { value } = this.speed;
    const left = this.file.size - sent;
    const pace = value > 0 && left > 0 ? ` · ${size(value)}/s · about ${timeLeft(left / value)} left` : "";
    this.rate.textContent = left > 0 ? `${size(sent)} of ${size(this.file.size)}${pace}` : "Finishing …";
  }

  arrive(id) {
    this.id = id;
    this.bar.value = 1;
    this.bar.hidden = this.rate.hidden = true;
    const link = element("a", { href: `/imports/${encodeURIComponent(id)}`, textContent: "View the import" });
    this.become("done");
    this.said.replaceChildren("Uploaded. ", link);
  }
}

class Page {
  rows = new Set();
  shared = new Map();
  looks = Promise.resolve();

  constructor() {
    this.list = document.getElementById("files");
    this.input = document.getElementById("file");
    this.drop = document.getElementById("drop");
    this.said = document.getElementById("said");
    this.button = form.querySelector(".go button");
    this.unfinished = document.getElementById("unfinished");
    this.input.multiple = true;
    this.input.required = false;
    this.drop.classList.add("live");
    document.getElementById("chosen").textContent = "Choose files, or drop them here";
    this.listen();
    this.findUnfinished();
  }

  get dataset() {
    return form.elements.dataset.value;
  }

  get token() {
    return form.elements.csrf_token.value;
  }

  /** The key that is signed in. */
  get by() {
    return form.dataset.by;
  }

  /** What the form says of how to read the files, without what is to be detected. */
  get reading() {
    return Object.fromEntries(READING.map((name) => [name, form.elements[name].value]).filter(([, value]) => value));
  }

  get wishes() {
    const wishes = {};
    for (const name of ["dry_run", "force"]) if (form.elements[name].checked) wishes[name] = "true";
    for (const name of ["on_error", "notify", ...READING]) if (form.elements[name].value) wishes[name] = form.elements[name].value;
    return wishes;
  }

  listen() {
    for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
      this.drop.addEventListener(name, (event) => {
        event.preventDefault();
        this.drop.classList.toggle("over", over);
      });
    }
    this.drop.addEventListener("drop", (event) => this.take(event.dataTransfer.files));
    this.input.addEventListener("change", () => {
      this.take(this.input.files);
      this.input.value = ""; // so that the same one can be chosen again
    });
    form.addEventListener("change", (event) => {
      if (["dataset", ...READING].includes(event.target.name)) this.lookAgain();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    this.settle();
  }

  take(files) {
    for (const file of files) {
      const going = this.in("unfinished").find((row) => isOf(row.note, file));
      if (going) going.takeUp(file);
      else this.add(new Row(this, { file }), this.list).preview();
    }
    this.said.textContent = "";
    this.settle();
  }

  add(row, list) {
    this.rows.add(row);
    list.append(row.item);
    return row;
  }

  lookAgain() {
    this.shared.clear();
    for (const row of this.rows) if (row.state === "chosen") row.preview();
  }

  /** One preview after the other. */
  inTurn(look) {
    this.looks = this.looks.then(look);
    return this.looks;
  }

  /** Files with one header have their columns chosen once. */
  columnsOf(dataset, seen, row) {
    const key = Columns.key(dataset, seen);
    const known = this.shared.get(key);
    if (known && known.row !== row && this.rows.has(known.row)) return { columns: known.columns, like: known.row.name };
    const columns = new Columns(seen);
    this.shared.set(key, { columns, row });
    return { columns, like: "" };
  }

  in(state) {
    return [...this.rows].filter((row) => row.state === state);
  }

  start() {
    const chosen = this.in("chosen");
    if (!chosen.length) {
      this.said.textContent = "Choose a file first.";
      this.input.focus();
      return;
    }
    const asked = { dataset: this.dataset, reading: this.reading, wishes: this.wishes }; // the form may change before their turn
    for (const row of chosen) {
      row.asked = asked;
      row.become("queued", "Waiting.");
    }
    this.next();
  }

  next() {
    for (const row of this.in("queued").slice(0, FILES_AT_ONCE - this.in("sending").length)) {
      row.send().finally(() => this.next());
    }
    this.settle();
  }

  /** Update what concerns all files. A single uploaded file leads to its import. */
  settle() {
    const chosen = this.in("chosen").length;
    this.button.textContent = chosen > 1 ? `Upload ${chosen} files` : "Upload";
    this.list.hidden = !this.list.children.length;
    this.unfinished.hidden = !this.unfinished.querySelector("li");
    const done = this.in("done");
    if (done.length === this.rows.size && done.length === 1) location.assign(`/imports/${encodeURIComponent(done[0].id)}`);
    else if (done.length > 1 && done.length === this.rows.size) this.said.textContent = `All ${done.length} files are uploaded.`;
  }

  async findUnfinished() {
    for (const note of noted(this.by)) {
      const stored = await storedBytes(note, this.token).catch(() => undefined);
      if (stored === null) continue; // it has ended, or belongs to another key
      const row = this.add(new Row(this, { note }), this.unfinished.querySelector("ol"));
      row.bar.hidden = false;
      row.bar.value = (stored || 0) / note.size;
      const there = stored === undefined ? "The uploaded part could not be checked." : `${size(stored)} uploaded.`;
      row.become("unfinished", `Dataset ${note.dataset}. ${there} Choose the file again to upload the rest.`);
    }
    this.settle();
  }
}

if (form) new Page();
