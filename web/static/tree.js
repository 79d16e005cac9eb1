// Makes a tree of each list of records: branches open in place, and the keys of an ARIA tree work
// (https://www.w3.org/WAI/ARIA/apg/patterns/treeview/). Without this script every branch is a link to a page of its own.
import { children, cut } from "./text.js";

const PAGE = 50;
const INDENT_MAX = 12; // deeper branches are no further to the right: a phone is narrow

const el = (name, className, text) => {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

const isFolder = (id) => id === "." || id === "..";

const grow = (list) => {
  const { api, pages, key, label } = list.dataset;
  const counted = Number(list.dataset.counted);
  const said = list.nextElementSibling;

  // --- what is there ---

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
    ["id", "label", "count"]
      .map((part) => item.querySelector(`.${part}`).textContent.trim())
      .filter(Boolean)
      .join(", ");

  const ready = (item, level) => {
    dress(item, level, nameOf(item));
    const twist = item.querySelector("a.twist");
    if (!twist) return;
    item.setAttribute("aria-expanded", "false");
    const under = new URL(twist.href).searchParams.get("under");
    item.below = new URLSearchParams({ parentId: under });
    twist.setAttribute("aria-hidden", "true"); // the item itself says that it opens
    twist.addEventListener("click", (event) => {
      event.preventDefault();
      focusOn(item);
      toggle(item);
    });
  };

  const node = (record, level) => {
    const id = record[key];
    const item = el("li", "node");
    const row = el("div", "row");
    const count = record._children;
    const twist = el(count ? "a" : "span", "twist");
    if (count) twist.href = `${pages}?${new URLSearchParams({ under: id })}`;
    const link = el("a", "id");
    link.href = isFolder(id) ? `${pages}?${new URLSearchParams({ id })}` : `${pages}/${encodeURIComponent(id)}`;
    link.append(el("bdi", "", cut(id, 120)));
    const what = el("span", "what");
    const told = label && record[label] !== id ? record[label] : "";
    what.append(link, " ", el("bdi", "label", cut(told, 160)));
    row.append(twist, what, " ", el("span", "count soft", children(count, counted)));
    item.append(row);
    ready(item, level);
    return item;
  };

  const more = (item, level, query, cursor) => {
    dress(item, level, "Show more");
    item.next = { query, cursor };
    item.querySelector("a, span").addEventListener("click", (event) => {
      event.preventDefault();
      focusOn(item);
      goOn(item);
    });
    return item;
  };

  const moreOf = (level, query, cursor) => {
    const item = el("li", "more");
    item.append(el("span", "link", "Show more"));
    return more(item, level, query, cursor);
  };

  // --- the server ---

  const ask = async (item, query, cursor) => {
    const asked = new URLSearchParams(query);
    asked.set("limit", PAGE);
    asked.set("counts", "true");
    asked.set("counts_max", counted + 1);
    if (cursor) asked.set("cursor", cursor);
    item.setAttribute("aria-busy", "true");
    said.textContent = "";
    try {
      const answer = await fetch(`${api}?${asked}`, { headers: { Accept: "application/json" } });
      if (answer.status === 401) return location.assign("/sign-in");
      if (answer.ok) return await answer.json();
      said.textContent = (await answer.json()).detail;
    } catch {
      said.textContent = "The server does not answer. Try it again in a moment.";
    } finally {
      item.removeAttribute("aria-busy");
    }
    return null;
  };

  const nodesOf = (page, level, query) => {
    const nodes = page.items.map((record) => node(record, level));
    return page.next_cursor === null ? nodes : [...nodes, moreOf(level, query, page.next_cursor)];
  };

  const open = async (item) => {
    if (item.getAttribute("aria-busy")) return;
    if (!groupOf(item)) {
      const page = await ask(item, item.below);
      if (!page) return;
      const group = el("ul", "");
      group.setAttribute("role", "group");
      group.append(...nodesOf(page, Number(item.getAttribute("aria-level")) + 1, item.below));
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
    const page = await ask(item, item.next.query, item.next.cursor);
    if (!page) return;
    const nodes = nodesOf(page, Number(item.getAttribute("aria-level")), item.next.query);
    const had = item === document.activeElement;
    item.replaceWith(...nodes);
    if (had) focusOn(nodes[0]);
  };

  // --- keys ---

  const isMore = (item) => item.classList.contains("more");
  const step = (item, by) => {
    const all = items();
    focusOn(all[all.indexOf(item) + by]);
  };
  const keys = {
    ArrowDown: (item) => step(item, 1),
    ArrowUp: (item) => step(item, -1),
    Home: () => focusOn(items()[0]),
    End: () => focusOn(items().at(-1)),
    ArrowRight: (item) => (isOpen(item) ? focusOn(groupOf(item).firstElementChild) : item.below && open(item)),
    ArrowLeft: (item) => (isOpen(item) ? close(item) : focusOn(above(item))),
    Enter: (item) => (isMore(item) ? goOn(item) : item.querySelector("a.id").click()),
    " ": (item) => (isMore(item) ? goOn(item) : item.below && toggle(item)),
  };

  list.addEventListener("keydown", (event) => {
    const item = event.target.closest("[role=treeitem]");
    const act = keys[event.key];
    if (!item || !act || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    act(item);
  });

  list.setAttribute("role", "tree");
  list.classList.add("live");
  for (const item of list.querySelectorAll(":scope > .node")) ready(item, 1);
  const link = list.querySelector(":scope > .more > a");
  if (link) {
    const at = new URL(link.href).searchParams;
    const query = at.has("under") ? { parentId: at.get("under") } : { root: "true" };
    more(link.parentElement, 1, new URLSearchParams(query), at.get("after"));
  }
  const first = items()[0];
  if (first) first.tabIndex = 0;
};

for (const list of document.querySelectorAll("ul.tree")) grow(list);
for (const hint of document.querySelectorAll(".keyhint")) hint.hidden = false;
