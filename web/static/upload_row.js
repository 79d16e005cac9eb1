// A file in the list of the upload page, from its choice over its preview to its import.
import { Columns, Settings, lookAt, outcomeOf, panelOf } from "./preview.js";
import { cut, size, timeLeft } from "./text.js";
import { Halted, Refused, Transfer, ask, giveUp, isOf } from "./transfer.js";

const SPEED_MS = 5000;
const LOOK_MS = 8000;

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
export class Row {
  constructor(page, { file = null, note = null }) {
    Object.assign(this, { page, file, note, state: file ? "chosen" : "unfinished", settings: new Settings() });
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

  /** The choices with which the file is looked at; what a button of its panel says goes before the form. */
  get choices() {
    const { dataset, reading } = this.asked || this.page;
    return { dataset: this.settings.dataset || dataset, ...this.settings.over(reading), mapping: this.settings.said };
  }

  async lookAtIt() {
    if (!this.page.rows.has(this)) return;
    this.looking?.abort();
    this.looking = new AbortController();
    const columnsBefore = this.columns;
    this.columns = null;
    this.look.classList.add("up-old"); // it stays, so that nothing moves away under a click
    this.seen.textContent = "Reading the first rows …";
    try {
      const seen = await lookAt(this.file, this.choices, this.page.token, this.looking.signal);
      const { columns, like } = this.page.columnsOf(seen, this);
      this.columns = columns;
      this.settings.before = null;
      this.know(seen);
      this.seen.textContent = columns.told(seen, like);
      this.show(panelOf(seen, !like));
      this.look.open = !like;
    } catch (error) {
      if (error instanceof Halted) return;
      if (this.known && this.settings.takeBack()) {
        this.columns = columnsBefore;
        this.seen.textContent = `${error.message} It is shown as it was read before.`;
      } else {
        this.look.hidden = true;
        this.known = null;
        this.seen.textContent = error.message;
      }
    }
    this.look.classList.remove("up-old");
    this.page.settle();
  }

  know(seen) {
    this.known = { dataset: seen.dataset, isRefused: seen.is_refused, rows: seen.rows };
    this.options = seen.options;
    this.delimiter = seen.delimiter;
  }

  show(panel) {
    const label = this.look.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    this.look.replaceChildren(this.look.querySelector("summary"), panel);
    this.look.hidden = false;
    if (label) this.look.querySelector(`[aria-label="${CSS.escape(label)}"]`)?.focus();
    for (const button of panel.querySelectorAll("button[name=set]")) {
      button.addEventListener("click", () => {
        this.settings.apply(button.value, { ...this.page.reading, ...this.settings.options });
        this.preview();
      });
    }
    panel.querySelector(".up-new")?.addEventListener("click", (event) => {
      event.preventDefault();
      this.carryOver(event.target.pathname);
    });
    for (const select of panel.querySelectorAll("select[name=becomes]")) {
      select.addEventListener("change", () => {
        this.columns.choose(select.dataset.column, select.value);
        this.settings.said = this.columns.said;
        this.looked = this.page.inTurn(() => this.lookAtOutcome());
      });
    }
  }

  /** Send the file to the page that makes a dataset of it, as its own form does. */
  carryOver(path) {
    const token = element("input", { type: "hidden", name: "csrf_token", value: this.page.token });
    const input = element("input", { type: "file", name: "file", hidden: true });
    const bag = new DataTransfer();
    bag.items.add(this.file);
    input.files = bag.files;
    const form = element("form", { method: "post", action: path, enctype: "multipart/form-data", hidden: true }, token, input);
    document.body.append(form);
    form.submit();
  }

  /** Look once more after a column was chosen. The selects stay as they are: one of them has the focus. */
  async lookAtOutcome() {
    const outcome = this.look.querySelector(".up-outcome");
    if (!outcome || !this.columns) return;
    outcome.classList.add("up-old");
    const choices = this.choices;
    choices.dataset ||= this.known?.dataset || ""; // the one whose columns the selects offer, whatever fits best now
    try {
      const seen = await lookAt(this.file, choices, this.page.token, this.looking.signal);
      this.know(seen);
      outcome.replaceWith(outcomeOf(seen));
    } catch (error) {
      if (error instanceof Halted) return;
      outcome.replaceChildren(element("p", { className: "up-wrong", textContent: error.message }));
      outcome.classList.remove("up-old");
    }
    this.page.settle();
  }

  get dataset() {
    return this.settings.dataset || this.asked?.dataset || this.known?.dataset || "";
  }

  get wishes() {
    const wishes = { ...this.settings.over(this.asked.wishes), ...this.options };
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
    const { note } = this;
    const { token } = this.page;
    this.become("sending", "Starting the upload …");
    const isLate = new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    await (note || this.dataset ? Promise.race([this.looked, isLate]) : this.looked); // the preview may bring a dataset and a mapping
    if (this.canceled) return;
    if (!note && !this.file.size) {
      this.bar.hidden = this.rate.hidden = true;
      this.become("failed", "The file is empty. Choose another file.", true);
      return;
    }
    if (!note && !this.dataset) {
      this.bar.hidden = this.rate.hidden = true;
      const why = this.known ? "No dataset fits this file." : this.seen.textContent;
      this.become("failed", `${why} Choose the dataset that it is for to upload it all the same.`, true);
      this.page.askForDataset();
      return;
    }
    this.look.hidden = this.seen.hidden = true;
    const asked = note ? { dataset: note.dataset, options: note.options, note } : { dataset: this.dataset, options: this.wishes };
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
    const path = `/v1/datasets/${encodeURIComponent(this.dataset)}/mappings`;
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
