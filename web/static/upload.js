// Makes the upload form livelier: a file can be dropped, and its way is seen. Without this the form works all the same.
"use strict";

const form = document.getElementById("upload");
if (form) {
  const drop = document.getElementById("drop");
  const input = document.getElementById("file");
  const chosen = document.getElementById("chosen");
  const hint = document.getElementById("hint");
  const sent = document.getElementById("sent");
  const said = document.getElementById("said");
  const button = form.querySelector("button");

  const size = (bytes) => {
    for (const unit of ["bytes", "kB", "MB", "GB"]) {
      if (bytes < 1000) return `${unit === "bytes" || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${unit}`;
      bytes /= 1000;
    }
    return `${bytes.toFixed(1)} TB`;
  };

  const show = () => {
    const file = input.files[0];
    chosen.textContent = file ? file.name : "Choose a file, or drop one here";
    hint.textContent = file ? size(file.size) : "CSV, JSON, NDJSON, Parquet or Excel, also in gzip, zstd or ZIP";
  };

  const complain = (text) => {
    said.textContent = text;
    said.className = "alarm";
    said.setAttribute("role", "alert");
    sent.hidden = true;
    button.disabled = false;
  };

  drop.classList.add("live");
  show();
  input.addEventListener("change", show);
  for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", over);
    });
  }
  drop.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    show();
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = input.files[0];
    const { dataset, dry_run: dryRun, on_error: onError, delimiter, csrf_token: token } = form.elements;
    const asked = new URLSearchParams({ filename: file.name });
    if (dryRun.checked) asked.set("dry_run", "true");
    for (const wish of [onError, delimiter]) if (wish.value) asked.set(wish.name, wish.value);
    const request = new XMLHttpRequest();
    request.open("POST", `/v1/datasets/${encodeURIComponent(dataset.value)}/imports?${asked}`);
    request.setRequestHeader("X-CSRF-Token", token.value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (at) => {
      sent.value = at.total ? at.loaded / at.total : 0;
      said.textContent = at.loaded < at.total ? `${size(at.loaded)} of ${size(at.total)}` : "Stored in a moment …";
    });
    request.addEventListener("load", () => {
      const answer = request.response || {};
      if (request.status === 202) location.assign(`/imports/${answer.id}`);
      else complain(answer.detail || `The server answered ${request.status}.`);
    });
    request.addEventListener("error", () => complain("The connection broke off. Nothing was kept; try again."));
    button.disabled = true;
    said.className = "soft";
    said.textContent = "";
    sent.hidden = false;
    request.send(file);
  });
}
