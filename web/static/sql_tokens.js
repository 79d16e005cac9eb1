// Splits a query into pieces to be coloured, as web/pages/sql_tokens.py does; it takes any text.
const PIECE = new RegExp(
  [
    String.raw`(?<comment>--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
    String.raw`(?<text>[eE]'(?:[^'\\]|\\[\s\S]|'')*'?|[nNbBxX]?'(?:[^']|'')*'?|\$(?<tag>(?:[A-Za-z_][A-Za-z0-9_]*)?)\$[\s\S]*?(?:\$\k<tag>\$|$))`,
    String.raw`(?<name>"(?:[^"]|"")*"?)`,
    String.raw`(?<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)`,
    String.raw`(?<word>[A-Za-z_\x80-\uffff][A-Za-z0-9_$\x80-\uffff]*)`,
    String.raw`(?<rest>[\s\S])`,
  ].join("|"),
  "g",
);

const kindOf = (found, sql, keywords) => {
  const { comment, text, name, number, word } = found.groups;
  if (word !== undefined) {
    if (keywords.has(word.toLowerCase())) return "keyword";
    return /^[ \t\n]*\(/.test(sql.slice(found.index + word.length, found.index + word.length + 100)) ? "call" : "";
  }
  if (comment !== undefined) return "comment";
  if (text !== undefined) return "text";
  if (name !== undefined) return "name";
  return number === undefined ? "" : "number";
};

// Returns [kind, text] of each piece; joined, the texts are the query.
export const tokens = (sql, keywords) => {
  const found = [];
  for (const piece of sql.matchAll(PIECE)) {
    const kind = kindOf(piece, sql, keywords);
    if (found.length && found.at(-1)[0] === kind) found.at(-1)[1] += piece[0];
    else found.push([kind, piece[0]]);
  }
  return found;
};
