// One file on its way: through the server if it is small, else in parts straight to S3, by the routes of web/api/direct_uploads.py.
// What is under way to S3 is noted in the browser, so that it can go on after a lost connection, and after the page was left.

export const DIRECT_BYTES = 8 << 20;
const PARTS_MAX = 9000; // S3 takes 10,000
const PARTS_AT_ONCE = 3;
const TRIES = 6;
const STALL_MS = 60_000;
const QUERY_MAX = 6000;
const NOTES = "bulkhead-uploads";

/** The server's no, or S3's, which trying again does not change. */
export class Refused extends Error {
  constructor(message, status = 0, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}
/** Somebody asked for it to stop. */
export class Halted extends Error {}
class Lost extends Error {}
class NoWayToS3 extends Error {}

// --- notes of what is under way ---

const all = () => {
  try {
    return JSON.parse(localStorage.getItem(NOTES)) || [];
  } catch {
    return [];
  }
};

/** Those of one key: another one's uploads can only be gone on with by whoever signs in with that. */
export const noted = (by) => all().filter((note) => note.by === by);

const write = (notes) => {
  try {
    localStorage.setItem(NOTES, JSON.stringify(notes));
  } catch {
    // without a place for notes an upload works all the same, as long as the page stays
  }
};

export const forget = (note) => write(all().filter((one) => one.uploadId !== note.uploadId));

/** The same name, size and time of change: as sure as a browser can be without reading all of it. */
export const isOf = (note, file) => note.name === file.name && note.size === file.size && note.modified === file.lastModified;

// --- speaking to the server ---

const refusal = async (answer) => {
  const said = await answer.json().catch(() => ({}));
  return new Refused(said.detail || `The server answered ${answer.status}.`, answer.status, said.code);
};

export const ask = async (path, token, { method = "GET", body, type = "application/json", signal } = {}) => {
  const headers = { "X-CSRF-Token": token, ...(body && { "Content-Type": type }) };
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, signal });
  } catch (error) {
    throw signal?.aborted ? new Halted() : new Lost(error.message);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer.status === 204 ? null : answer.json();
};

const send = (method, url, body, { headers = {}, signal, onProgress }) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stalled;
    const heard = () => {
      clearTimeout(stalled);
      stalled = setTimeout(() => request.abort(), STALL_MS);
    };
    const stop = () => request.abort();
    const end = (settle, value) => {
      clearTimeout(stalled);
      signal.removeEventListener("abort", stop);
      settle(value);
    };
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (at) => {
      heard();
      onProgress(at.loaded);
    });
    request.addEventListener("load", () => end(resolve, request));
    request.addEventListener("error", () => end(reject, new Lost()));
    request.addEventListener("abort", () => end(reject, signal.aborted ? new Halted() : new Lost()));
    signal.addEventListener("abort", stop);
    heard();
    if (signal.aborted) stop();
    request.send(body);
  });

const nap = (ms, signal) =>
  new Promise((resolve, reject) => {
    const wake = () => end(resolve);
    const stop = () => end(reject, new Halted());
    const timer = setTimeout(wake, ms);
    const end = (settle, value) => {
      clearTimeout(timer);
      removeEventListener("online", wake);
      signal.removeEventListener("abort", stop);
      settle(value);
    };
    addEventListener("online", wake);
    signal.addEventListener("abort", stop);
  });

const passes = (error) =>
  error instanceof Lost || (error instanceof Refused && (error.status >= 500 || [408, 429].includes(error.status) || error.code === "upload_in_flight"));

// --- a file ---

export class Transfer {
  /** ``tell`` is called with what changes: sent (bytes), waiting (for the connection), way (what else is to be known). */
  constructor(file, { dataset, options = {}, token, by, note = null, tell }) {
    Object.assign(this, { file, dataset, options, token, by, note, tell });
    this.id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.flying = new Map();
    this.there = new Map();
  }

  /** Send what is missing; the import's id. Called again after a pause or an error, it goes on. Throws Refused or Halted. */
  async run() {
    this.control = new AbortController();
    try {
      if (this.note || ((this.file.size >= DIRECT_BYTES || this.query().length > QUERY_MAX) && !this.blocked)) {
        try {
          return await this.direct();
        } catch (error) {
          if (!(error instanceof NoWayToS3)) throw error;
          await this.drop();
          this.blocked = true;
          this.tell({ way: "S3 cannot be reached from this browser, so the file goes through the server, in one piece." });
        }
      }
      return await this.throughServer();
    } catch (error) {
      this.control.abort(); // the other parts of a file that failed
      if (error instanceof Lost) throw new Refused("The connection broke off. What was sent is kept for a while; try again to go on.");
      throw error;
    } finally {
      this.flying.clear();
    }
  }

  halt() {
    this.control?.abort();
  }

  /** Stop, and leave nothing behind. */
  async giveUp() {
    this.halt();
    await this.drop();
  }

  get isDirect() {
    return Boolean(this.note);
  }

  // --- in one piece ---

  query() {
    const { mapping, ...plain } = this.options;
    const asked = new URLSearchParams({ filename: this.file.name, ...plain });
    if (mapping) asked.set("mapping", JSON.stringify(mapping));
    return asked.toString();
  }

  throughServer() {
    const path = `/v1/datasets/${encodeURIComponent(this.dataset)}/imports?${this.query()}`;
    const headers = { "X-CSRF-Token": this.token, "Content-Type": "application/octet-stream", "Idempotency-Key": this.id };
    return this.patiently(async () => {
      const answer = await this.fly(0, "POST", path, this.file, headers);
      const said = safeJson(answer.responseText);
      if (answer.status !== 202) throw new Refused(said.detail || `The server answered ${answer.status}.`, answer.status, said.code);
      return said.id;
    });
  }

  // --- in parts ---

  async direct() {
    const isNew = !this.note;
    if (isNew) await this.open();
    try {
      if (!isNew) await this.list();
      const missing = this.numbers().filter((number) => !this.there.has(number));
      await Promise.all(Array.from({ length: PARTS_AT_ONCE }, () => this.sendEach(missing)));
      await this.list(); // S3's own word for what it has, also where a browser may not read the ETags
      const parts = [...this.there].sort(([a], [b]) => a - b).map(([number, part]) => ({ PartNumber: number, ETag: part.etag }));
      if (parts.length !== this.numbers().length) throw new Refused("S3 lost a part. Try again: only that one is sent.");
      const whole = await this.patiently(() => this.ask("/complete", { method: "POST", body: JSON.stringify({ parts }) }));
      forget(this.note);
      return whole.id;
    } catch (error) {
      if (["unknown_upload", "upload_over", "canceled_meanwhile", "too_large"].includes(error.code)) {
        forget(this.note);
        this.note = null;
        this.there.clear();
      }
      throw error;
    }
  }

  async open() {
    const metadata = { dataset: this.dataset, ...this.options };
    const body = JSON.stringify({ filename: this.file.name, type: this.file.type, metadata });
    const signal = this.control.signal;
    const opened = await this.patiently(() => ask("/s3/multipart", this.token, { method: "POST", body, signal }));
    const { name, size, lastModified: modified } = this.file;
    const part = Math.max(DIRECT_BYTES, Math.ceil(size / PARTS_MAX / (1 << 20)) * (1 << 20));
    const { dataset, options, by } = this;
    this.note = { key: opened.key, uploadId: opened.uploadId, dataset, options, by, name, size, modified, part };
    this.there.clear();
    write([...all(), this.note]);
  }

  numbers() {
    return Array.from({ length: Math.max(1, Math.ceil(this.note.size / this.note.part)) }, (_, at) => at + 1);
  }

  sizeOf(number) {
    return Math.min(this.note.part, this.note.size - (number - 1) * this.note.part);
  }

  async list() {
    const stored = await this.patiently(() => this.ask(""));
    this.there = new Map();
    for (const part of stored) {
      if (part.Size === this.sizeOf(part.PartNumber)) this.there.set(part.PartNumber, { size: part.Size, etag: part.ETag });
    }
    this.say();
    return stored;
  }

  async sendEach(missing) {
    while (missing.length) await this.sendPart(missing.shift());
  }

  sendPart(number) {
    const from = (number - 1) * this.note.part;
    const bytes = this.file.slice(from, from + this.sizeOf(number));
    return this.patiently(async () => {
      const { url } = await this.ask(`/${number}`);
      const answer = await this.fly(number, "PUT", url, bytes, {}).catch((error) => this.makeSenseOf(error));
      const isTooOld = answer.status === 403; // perhaps: then another address is signed
      if (isTooOld) throw new Refused("S3 does not take the address that was signed for a part of the file.", 503);
      if (answer.status !== 200) throw new Refused(`S3 answered ${answer.status} to a part of the file.`, answer.status);
      this.there.set(number, { size: bytes.size, etag: answer.getResponseHeader("ETag") });
      this.say();
    });
  }

  /** S3 did not answer, which says little: perhaps nobody does, or the file is gone, or S3 alone is out of reach. */
  async makeSenseOf(error) {
    if (!(error instanceof Lost) || !navigator.onLine) throw error;
    await this.file
      .slice(0, 1)
      .arrayBuffer()
      .catch(() => {
        throw new Refused("The file was changed or moved since it was chosen. Choose it again.");
      });
    const mine = await fetch("/healthz").catch(() => null);
    this.misses = (this.misses || 0) + 1;
    if (mine?.ok && !this.there.size && this.misses >= 3) throw new NoWayToS3();
    throw error;
  }

  async drop() {
    if (!this.note) return;
    const { note } = this;
    this.note = null;
    this.there.clear();
    forget(note);
    await ask(at(note, ""), this.token, { method: "DELETE" }).catch(() => {}); // else it expires by itself
  }

  // --- what both have in common ---

  ask(rest, more = {}) {
    return ask(at(this.note, rest), this.token, { ...more, signal: this.control.signal });
  }

  async fly(number, method, url, body, headers) {
    const onProgress = (loaded) => {
      this.flying.set(number, Math.min(loaded, body.size));
      this.say();
    };
    try {
      return await send(method, url, body, { headers, signal: this.control.signal, onProgress });
    } finally {
      this.flying.delete(number);
    }
  }

  /** Try again what passes, with longer and longer pauses; without a connection, until there is one. */
  async patiently(work) {
    for (let tries = 1; ; tries += navigator.onLine ? 1 : 0) {
      try {
        const done = await work();
        this.tell({ waiting: false });
        return done;
      } catch (error) {
        if (this.control.signal.aborted) throw new Halted();
        if (!passes(error) || tries >= TRIES) throw error;
        this.tell({ waiting: true });
        await nap(Math.min(30_000, 500 * 2 ** tries) * (0.5 + Math.random() / 2), this.control.signal);
      }
    }
  }

  /** The bytes that S3 has of it, as whole parts. */
  get stored() {
    return [...this.there.values()].reduce((sum, part) => sum + part.size, 0);
  }

  say() {
    this.tell({ sent: [...this.flying.values()].reduce((sum, bytes) => sum + bytes, this.stored) });
  }
}

const safeJson = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
};

const at = (note, rest) => `/s3/multipart/${encodeURIComponent(note.uploadId)}${rest}?${new URLSearchParams({ key: note.key })}`;

/** What says that there is nothing to go on with. */
const OVER = ["unknown_upload", "upload_over", "canceled_meanwhile"];

/** How many bytes of an upload that was noted S3 has; null if it is over. */
export const storedBytes = async (note, token) => {
  try {
    const parts = await ask(at(note, ""), token);
    return parts.reduce((sum, part) => sum + part.Size, 0);
  } catch (error) {
    if (!OVER.includes(error.code)) throw error;
    forget(note);
    return null;
  }
};

export const giveUp = async (note, token) => {
  forget(note);
  await ask(at(note, ""), token, { method: "DELETE" }).catch(() => {});
};
