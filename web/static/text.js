// Texts about what only the browser knows: names of chosen files, bytes that are sent. All others come from the server.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const KEPT = "\n\t\u200c\u200d";
const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

const escaped = (character) =>
  character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");

export const visible = (text) => text.replace(HIDDEN, (one) => (KEPT.includes(one) ? one : one === "\r" ? "\\r" : escaped(one)));

/** At most so many characters of a value, invisible ones escaped. */
export const cut = (value, characters) => {
  const all = Array.from(value == null ? "" : String(value));
  return visible(all.slice(0, characters).join("")) + (all.length > characters ? "…" : "");
};

const inUnit = (value, unit, unitDisplay, maximumFractionDigits) =>
  new Intl.NumberFormat("en", { style: "unit", unit, unitDisplay, maximumFractionDigits }).format(value);

export const size = (bytes) => {
  const step = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), SIZES.length - 1);
  return inUnit(bytes / 1000 ** step, SIZES[step], step ? "short" : "long", 1);
};

/** A time to come, as roughly as it is known. */
export const timeLeft = (seconds) => {
  const [length, unit] = [[3600, "hour"], [60, "minute"], [1, "second"]].find(([length]) => seconds >= length) || [1, "second"];
  return inUnit(Math.max(1, seconds / length), unit, "long", unit === "hour" ? 1 : 0);
};

/** "id, name and parentId" */
export const listed = (names) => new Intl.ListFormat("en").format(names);
