// Rows pasted from a spreadsheet become a file: its tab-separated text, or a table of a page. Formulas stay the texts they are.

const NAME = "pasted.tsv";

const quoted = (text) => (/[\t\n\r"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** The first table of a page as tab-separated text; empty if there is none. */
const tableText = (html) => {
  const table = new DOMParser().parseFromString(html, "text/html").querySelector("table");
  if (!table) return "";
  const rows = [...table.rows].map((row) => [...row.cells].map((cell) => quoted(cell.textContent.trim())).join("\t"));
  return rows.join("\n");
};

export const fileOf = (text) => new File([text.endsWith("\n") ? text : `${text}\n`], NAME, { type: "text/tab-separated-values", lastModified: Date.now() });

/** The files in a clipboard: files, or one made of its rows. A text without rows and columns is none. */
export const filesIn = (clipboard) => {
  if (clipboard.files.length) return [...clipboard.files];
  const text = clipboard.getData("text/plain").replaceAll("\r\n", "\n");
  const rows = text.includes("\t") ? text : tableText(clipboard.getData("text/html")) || (/\n./.test(text.trim()) ? text : "");
  return rows.trim() ? [fileOf(rows)] : [];
};
