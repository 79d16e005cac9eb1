// Makes a tree of each list of records: branches open in place, and the keys of an ARIA tree work
// (https://www.w3.org/WAI/ARIA/apg/patterns/treeview/). Each branch is a part of the page that its link leads to, so the server
// alone says how a record looks; without this script the links open those pages.
const INDENT_MAX = 12; // deeper branches are no further to the right: a phone is narrow

const grow = (list) => {
  const said = list.nextElementSibling;

  // --- what is shown ---

  const items = () => [...list.querySelectorAll("[role=treeitem]")].filter((item) => !item.parentElement.closest("[hidden]"));
  const groupOf = (item) => item.querySelector(":scope > [role=group]");
  const isOpen = (item) => item.getAttribute("aria-expanded") === "true";
  const above = (item) => item.parentElement.closest("[role=treeitem]");

  const focusOn = (item) => {
    if (!item) return;
    for (const one of list.querySelectorAll("[tabindex='0']")) one.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  };

  const dress = (item, level, name) => {
    item.setAttribute("role", "treeitem");
    item.setAttribute("aria-level", level);
    item.setAttribute("aria-label", name);
    item.style.setProperty("--level", Math.min(level - 1, INDENT_MAX));
    item.tabIndex = -1;
    for (const link of item.querySelectorAll("a")) link.tabIndex = -1;
  };

  // --- nodes ---

  const nameOf = (item) =>
    [...item.querySelector(":scope > .row").querySelectorAll(".id, .label, .cell, .count")]
      .map((part) => part.textContent.replace(/\s+/g, " ").trim())
      .filter(Boolean)
      .join(", ");

  const ready = (item, level) => {
    const isMore = item.classList.contains("more");
    dress(item, level, isMore ? "Show more" : nameOf(item));
    const link = item.querySelector(isMore ? "a" : "a.twist");
    if (!link) return;
    item.next = link.href;
    const inner = item.querySelector(":scope > ul"); // the page has it open
    if (inner) {
      inner.setAttribute("role", "group");
      for (const one of inner.children) ready(one, level + 1);
    }
    if (!isMore) item.setAttribute("aria-expanded", String(Boolean(inner)));
    if (!isMore) link.setAttribute("aria-hidden", "true"); // the item itself says that it opens
    link.addEventListener("click", (event) => {
      event.preventDefault();
      focusOn(item);
      act(item);
    });
  };

  // --- the server ---

  /** The items of the list on another page; null if it cannot be fetched. */
  const itemsOf = async (item, level) => {
    item.setAttribute("aria-busy", "true");
    said.textContent = "";
    try {
      const response = await fetch(item.next);
      if (response.redirected && new URL(response.url).pathname === "/sign-in") return location.assign("/sign-in");
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (response.ok) {
        const found = [...page.querySelectorAll("ul.tree > li")];
        for (const one of found) ready(one, level);
        return found;
      }
      said.textContent = page.querySelector(".lead")?.textContent ?? `The server answered ${response.status}.`;
    } catch {
      said.textContent = "The server does not answer. Try again in a moment.";
    } finally {
      item.removeAttribute("aria-busy");
    }
    return null;
  };

  const open = async (item) => {
    if (item.getAttribute("aria-busy")) return;
    if (!groupOf(item)) {
      const found = await itemsOf(item, Number(item.getAttribute("aria-level")) + 1);
      if (!found) return;
      const group = document.createElement("ul");
      group.setAttribute("role", "group");
      group.append(...found);
      item.append(group);
    }
    groupOf(item).hidden = false;
    item.setAttribute("aria-expanded", "true");
  };

  const close = (item) => {
    groupOf(item).hidden = true;
    item.setAttribute("aria-expanded", "false");
  };

  const toggle = (item) => (isOpen(item) ? close(item) : open(item));

  const goOn = async (item) => {
    if (item.getAttribute("aria-busy")) return;
    const found = await itemsOf(item, Number(item.getAttribute("aria-level")));
    if (!found) return;
    const hadFocus = item === document.activeElement;
    item.replaceWith(...found);
    if (hadFocus) focusOn(found[0]);
  };

  // --- keys ---

  const isMore = (item) => item.classList.contains("more");
  const isBranch = (item) => item.hasAttribute("aria-expanded");
  const act = (item) => (isMore(item) ? goOn(item) : isBranch(item) && toggle(item));
  const step = (item, by) => {
    const all = items();
    focusOn(all[all.indexOf(item) + by]);
  };
  const keys = {
    ArrowDown: (item) => step(item, 1),
    ArrowUp: (item) => step(item, -1),
    Home: () => focusOn(items()[0]),
    End: () => focusOn(items().at(-1)),
    ArrowRight: (item) => (isOpen(item) ? focusOn(groupOf(item).firstElementChild) : isBranch(item) && open(item)),
    ArrowLeft: (item) => (isOpen(item) ? close(item) : focusOn(above(item))),
    Enter: (item) => (isMore(item) ? goOn(item) : item.querySelector("a.id").click()),
    " ": act,
    "*": (item) => {
      for (const one of item.parentElement.children) if (isBranch(one) && !isOpen(one)) open(one);
    },
  };

  list.addEventListener("keydown", (event) => {
    const item = event.target.closest("[role=treeitem]");
    const press = keys[event.key];
    if (!item || !press || event.ctrlKey || event.altKey || event.metaKey || (event.shiftKey && event.key !== "*")) return;
    event.preventDefault();
    press(item);
  });

  list.setAttribute("role", "tree");
  list.classList.add("live");
  for (const item of list.querySelectorAll(":scope > li")) ready(item, 1);
  const first = items()[0];
  if (first) first.tabIndex = 0;
};

for (const list of document.querySelectorAll("ul.tree")) grow(list);
for (const hint of document.querySelectorAll(".keyhint")) hint.hidden = false;
