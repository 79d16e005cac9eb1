// Asks for confirmation in a dialog; without this script the confirmation is a second step on the page.
"use strict";

for (const ask of document.querySelectorAll(".ask")) {
  const form = ask.querySelector("form");
  const dialog = document.createElement("dialog");
  const heading = form.querySelector("h2");
  const no = document.createElement("button");
  no.type = "button";
  no.className = "quiet";
  no.textContent = "Back";
  no.addEventListener("click", () => dialog.close());
  form.querySelector(".go").append(no);
  heading.id = `ask-${Math.random().toString(36).slice(2)}`;
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.append(form);
  ask.append(dialog);
  ask.querySelector("summary").addEventListener("click", (event) => {
    event.preventDefault();
    dialog.showModal();
  });
}
