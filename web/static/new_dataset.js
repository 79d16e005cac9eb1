// "New dataset": a file that is chosen, dropped or pasted is sent at once; a changed form says at once what it would refuse.

const FORM = document.getElementById("draft");
const CHECK_MILLISECONDS = 400;

/** The cells of an HTML table, or the plain text, as tab-separated values; formulas are text as it was copied. */
const pastedText = (clipboard) => {
  const table = new DOMParser().parseFromString(clipboard.getData("text/html"), "text/html").querySelector("table");
  if (!table) return clipboard.getData("text/plain");
  const cell = (one) => one.textContent.trim();
  const quoted = (text) => (/["\t\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [...table.rows].map((row) => [...row.cells].map((one) => quoted(cell(one))).join("\t")).join("\n");
};

const send = (form, file) => {
  const files = new DataTransfer();
  files.items.add(file);
  form.elements.file.files = files.files;
  form.requestSubmit();
};

const takeFiles = (form) => {
  const drop = document.getElementById("drop");
  const said = document.getElementById("said");
  drop.classList.add("live");
  document.getElementById("chosen").textContent = "Choose a file, or drop or paste it here";
  for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", over);
    });
  }
  drop.addEventListener("drop", ({ dataTransfer }) => dataTransfer.files.length && send(form, dataTransfer.files[0]));
  form.elements.file.addEventListener("change", () => form.elements.file.files.length && form.requestSubmit());
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    const text = file ? "" : pastedText(event.clipboardData);
    if (!file && !text.trim()) return;
    event.preventDefault();
    send(form, file || new File([text], "pasted.tsv", { type: "text/tab-separated-values" }));
  });
  form.addEventListener("submit", () => {
    said.textContent = "Reading the whole file …";
  });
};

/** Ask what the changed form would refuse, and replace only what says so: the fields, and the focus, stay. */
const checkOnChange = (form) => {
  let timer = 0;
  let asked = null;
  const check = async () => {
    asked?.abort();
    asked = new AbortController();
    form.setAttribute("aria-busy", "true");
    try {
      const body = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.dataset.check, { method: "POST", body, signal: asked.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-told]")) {
        const fresh = page.querySelector(`[data-told="${CSS.escape(old.dataset.told)}"]`);
        if (fresh) old.replaceChildren(...fresh.childNodes);
        else if (!answer.ok && old.dataset.told === "all") old.textContent = page.querySelector("#main")?.textContent.trim() ?? "";
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      document.querySelector('[data-told="all"]').textContent = "The server did not answer. Press Check to try again.";
    }
    form.removeAttribute("aria-busy");
  };
  form.addEventListener("change", () => {
    clearTimeout(timer);
    timer = setTimeout(check, CHECK_MILLISECONDS);
  });
};

if (FORM) takeFiles(FORM);
const definition = document.getElementById("definition");
if (definition) checkOnChange(definition);
