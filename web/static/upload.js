// The upload form with several files, their previews and their progress. Without this script the form takes one file in two steps.
import { fileOf, filesIn } from "./paste.js";
import { Columns, Settings } from "./preview.js";
import { size } from "./text.js";
import { isOf, noted, storedBytes } from "./transfer.js";
import { Row } from "./upload_row.js";

const FILES_AT_ONCE = 2;

const READING = ["delimiter", "quote", "encoding", "header_row", "sheet", "records_at", "merged", "repeated_columns", "no_parent_values", "parent_by", "shape", "clean"];

const form = document.getElementById("upload");

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
    this.pasted = document.getElementById("pasted");
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
    document.addEventListener("paste", (event) => {
      const isText = event.target.matches?.("input, textarea") && event.target !== this.pasted;
      const files = isText ? [] : filesIn(event.clipboardData);
      if (!files.length) return;
      event.preventDefault();
      this.take(files);
    });
    this.pasted.addEventListener("change", () => {
      if (this.pasted.value.trim()) this.take([fileOf(this.pasted.value)]);
      this.pasted.value = "";
    });
    form.addEventListener("change", (event) => {
      if (event.target.name === "dataset") for (const row of this.rows) row.settings = new Settings();
      if (["dataset", ...READING].includes(event.target.name)) this.lookAgain();
      else if (event.target.name === "dry_run") this.settle();
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
  columnsOf(seen, row) {
    const key = Columns.key(seen);
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

  askForDataset() {
    const where = form.querySelector(".up-datasets");
    where.open = true;
    where.querySelector("summary").focus();
  }

  /** What the button does, for one file or several; a file that would be refused is not the first thing to send. */
  label(chosen) {
    if (chosen.length !== 1) return chosen.length ? `Upload ${chosen.length} files` : "Upload";
    const [{ known }] = chosen;
    if (!known?.dataset) return "Upload";
    if (known.isRefused) return "Upload anyway";
    return `${form.elements.dry_run.checked ? "Check" : "Import"} ${known.rows}`.trim();
  }

  /** Update what concerns all files. A single uploaded file leads to its import. */
  settle() {
    const chosen = this.in("chosen");
    this.button.textContent = this.label(chosen);
    const isRefused = chosen.length === 1 && Boolean(chosen[0].known?.isRefused);
    this.button.classList.toggle("quiet", isRefused);
    const advice = "As it is, the file would be refused. Correct it first, or upload it and correct its cells on the page of its findings.";
    if (isRefused) this.said.textContent = advice;
    else if (this.said.textContent === advice) this.said.textContent = "";
    const fits = chosen.length === 1 && chosen[0].dataset;
    document.getElementById("dataset-said").textContent = this.dataset || (fits ? `${fits}, which fits best` : "the one that fits best");
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
