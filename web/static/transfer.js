// Uploads one file: a small one through the server, a large one in parts directly to S3, by the routes of web/api/direct_uploads.py.
// Uploads to S3 are noted in the browser's storage, so that they can be resumed after a lost connection or a reload.

export const DIRECT_BYTES = 8 << 20;
const PARTS_MAX = 9000; // S3 takes 10,000
const PARTS_AT_ONCE = 3;
const TRIES = 6;
const STALL_MS = 60_000;
const QUERY_MAX = 6000;
const NOTES = "bulkhead-uploads";

/** An error of the server or of S3 that a retry does not change. */
export class Refused extends Error {
  constructor(message, status = 0, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}
/** The user stopped the upload. */
export class Halted extends Error {}
class Lost extends Error {}
class NoWayToS3 extends Error {}

// --- notes of uploads in progress ---

const all = () => {
  try {
    return JSON.parse(localStorage.getItem(NOTES)) || [];
  } catch {
    return [];
  }
};

/** The notes of one API key: an upload can be resumed only with the key that began it. */
export const noted = (by) => all().filter((note) => note.by === by);

const write = (notes) => {
  try {
    localStorage.setItem(NOTES, JSON.stringify(notes));
  } catch {
    // without storage the upload works too, as long as the page stays open
  }
};

export const forget = (note) => write(all().filter((one) => one.uploadId !== note.uploadId));

/** The same name, size and time of change: the best check without reading the whole file. */
export const isOf = (note, file) => note.name === file.name && note.size === file.size && note.modified === file.lastModified;

// --- requests ---

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
  /** ``tell`` is called with changes: sent (bytes), waiting (for the connection), way (a text about the route). */
  constructor(file, { dataset, options = {}, token, by, note = null, tell }) {
    Object.assign(this, { file, dataset, options, token, by, note, tell });
    this.id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.flying = new Map();
    this.there = new Map();
  }

  /** Send what is missing and return the import's id. After a pause or an error, call it again. Throws Refused or Halted. */
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
          this.tell({ way: "S3 cannot be reached from this browser; the file is sent through the server instead." });
        }
      }
      return await this.throughServer();
    } catch (error) {
      this.control.abort(); // the other parts of a file that failed
      if (error instanceof Lost) throw new Refused("Connection lost. Try again: parts that were uploaded are not sent again.");
      throw error;
    } finally {
      this.flying.clear();
    }
  }

  halt() {
    this.control?.abort();
  }

  /** Stop the upload and delete its parts. */
  async giveUp() {
    this.halt();
    await this.drop();
  }

  get isDirect() {
    return Boolean(this.note);
  }

  // --- in one piece ---

  query() {
    const texts = Object.entries(this.options).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value]);
    return new URLSearchParams([["filename", this.file.name], ...texts]).toString();
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
      await this.list(); // S3's own list of parts: the browser may not be allowed to read the ETags
      const parts = [...this.there].sort(([a], [b]) => a - b).map(([number, part]) => ({ PartNumber: number, ETag: part.etag }));
      if (parts.length !== this.numbers().length) throw new Refused("A part is missing in S3. Try again: only that part is sent.");
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
      const isTooOld = answer.status === 403; // perhaps: then a new address is signed
      if (isTooOld) throw new Refused("S3 refused the signed address of a part. Try again.", 503);
      if (answer.status !== 200) throw new Refused(`S3 answered ${answer.status} to a part of the file. Try again.`, answer.status);
      this.there.set(number, { size: bytes.size, etag: answer.getResponseHeader("ETag") });
      this.say();
    });
  }

  /** Find out why S3 did not answer: no connection at all, the file is gone, or only S3 cannot be reached. */
  async makeSenseOf(error) {
    if (!(error instanceof Lost) || !navigator.onLine) throw error;
    await this.file
      .slice(0, 1)
      .arrayBuffer()
      .catch(() => {
        throw new Refused("The file was changed or moved after you chose it. Choose it again.");
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
    await ask(at(note, ""), this.token, { method: "DELETE" }).catch(() => {}); // otherwise it expires by itself
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

  /** Retry temporary errors with growing pauses; without a connection, until there is one. */
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

  /** The bytes of the complete parts in S3. */
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

/** Codes which say that the upload cannot be resumed. */
const OVER = ["unknown_upload", "upload_over", "canceled_meanwhile"];

/** The number of bytes in S3 of a noted upload; null if it has ended. */
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
