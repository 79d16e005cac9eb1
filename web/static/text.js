// Values as the server's pages show them (web/pages/formatting.py): cut where they are long, and what cannot be seen spelled out.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const KEPT = "\n\t\u200c\u200d";

const spelled = (character) =>
  character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");

export const visible = (text) => text.replace(HIDDEN, (one) => (KEPT.includes(one) ? one : one === "\r" ? "\\r" : spelled(one)));

export const cut = (value, characters) => {
  const all = Array.from(value == null ? "" : String(value));
  return visible(all.slice(0, characters).join("")) + (all.length > characters ? "…" : "");
};

export const children = (count, counted) => {
  if (count > counted) return `over ${counted.toLocaleString("en")} children`;
  return count === 0 ? "" : count === 1 ? "1 child" : `${count.toLocaleString("en")} children`;
};
