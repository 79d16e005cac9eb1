"""Say what a text is that looks like JSON and is not: JavaScript, Python, JSON5, JSONP, or JSON within a string."""

from __future__ import annotations

import re
from typing import Any

from pipeline.errors import Unreadable

_WRITE = "Write it with a JSON library, for instance json.dumps in Python or JSON.stringify in JavaScript."
_NOT_JSON = "Write an array of records, or one record a line."

_COMMENT = re.compile(r"\s*(//|/\*)")
_OPENINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r'\s*"\{""'),
        "Each line is JSON within quotes, as a CSV export of a column with JSON has it.",
        "Export the column without quotes, one record a line (NDJSON), or its values as columns of their own.",
    ),
    (
        re.compile(r'\s*"\s*[\[{](\s|\\[nrt]|[\[{])*\\"'),
        "The file is a JSON text within a string: its quotes are written as \\\".",
        "Decode it once more before you write it, for instance with json.loads.",
    ),
    (
        re.compile(r"\s*(/\*.*?\*/\s*)?(typeof\s+[\w$.]+\s*===?\s*'function'\s*&&\s*)?[A-Za-z_$][\w$.]*\s*\(\s*[\[{]\s*[\"{\[]"),
        "The file is JSONP: a call around the JSON.",
        "Ask for JSON without a callback, or remove the call and its parentheses.",
    ),
    (
        re.compile(r"\s*(export\s+default|module\.exports\s*=|(var|let|const)\s+[\w$]+\s*=|(window|self|globalThis)\.[\w$.]+\s*=)\s*[\[{]"),
        "The file is JavaScript: something stands before the JSON.",
        "Keep only the array of records.",
    ),
    (
        re.compile(r"\s*\)\]\}'"),
        "The file begins with )]}', which some services write before their JSON.",
        "Remove the first line.",
    ),
    (
        re.compile(r"\s*((//[^\n]*|/\*.*?\*/)\s*)+[\[{]", re.DOTALL),
        "The file has comments, which JSON does not have.",
        "Remove the comments.",
    ),
)  # fmt: skip


COMMA_TOO_MANY = ("a comma too many, before the closing bracket", "Remove the comma after the last value.")


def refuse_lookalike(opening: str) -> None:
    """Raise Unreadable if a text that does not begin as JSON does is meant to be JSON."""
    for pattern, message, hint in _OPENINGS:
        if pattern.match(opening[:4000]):
            raise Unreadable(message, hint=hint, line=1)


_DOCUMENTS: tuple[tuple[str, str, str], ...] = (
    (
        "nbformat",
        "a Jupyter notebook",
        "Export the table from it: df.to_csv('records.csv', index=False).",
    ),
    ("arcs", "TopoJSON", "Convert it to GeoJSON, with topo2geo or in QGIS, and upload that."),
    ("openapi", "a description of an API (OpenAPI)", "Upload what the API answers."),
    ("swagger", "a description of an API (Swagger)", "Upload what the API answers."),
    ("lockfileVersion", "a lock file of npm", ""),
)
_WORDS = ("message", "error_description", "detail", "title", "reason", "description", "msg", "code")


def refuse_document(document: dict[str, Any]) -> None:
    """Raise Unreadable for one object without records that is known: the error of a service, a notebook, ..."""
    for key, what, hint in _DOCUMENTS:
        if key in document:
            raise Unreadable(f"The file is {what}, not a list of records.", hint=hint, line=1)
    said = next((document[key] for key in ("error", "errors", "fault") if document.get(key)), None)
    bare = "message" in document and len(document) <= 6 and not any(isinstance(one, list | dict) for one in document.values())
    if said is None and not bare:
        return
    words = _words(said if said is not None else document["message"])
    raise Unreadable(
        f"The file is the answer of a service that reports an error{f': {words}' if words else ''}.",
        hint="Send the request again, with what the error asks for, and upload its answer.",
        line=1,
    )


def _words(said: Any) -> str:
    """Return what an error says, in at most 100 characters."""
    if isinstance(said, list) and said:
        said = said[0]
    if isinstance(said, dict):
        said = next((said[key] for key in _WORDS if isinstance(said.get(key), str)), "")
    return said[:100].rstrip(".") if isinstance(said, str) else ""


def explanation(text: str, at: int, why: str) -> tuple[str, str]:
    """Return why a text is not JSON at a place, and what to do; ``why`` is what the parser says."""
    here = text[at : at + 20]
    if why.startswith(("NaN", "Infinity", "-Infinity")):
        return why, "Write null, or the number as text."
    if _COMMENT.match(here) or here.startswith("#"):
        return "a comment, which JSON does not have", "Remove the comments."
    if here.startswith("'"):
        return "text is in single quotes", f"JSON has double quotes. {_WRITE}"
    if python := re.match(r"(None|True|False)\b", here):
        return f"{python[0]} is Python, not JSON", _WRITE
    if word := re.match(r"(undefined|NaN|Infinity|[-+]Infinity)\b", here):
        return f"{word[0]} is not JSON", "Write null, or the number as text."
    if (here[:1] in ("]", "}") and text[:at].rstrip().endswith(",")) or why.startswith("Illegal trailing comma"):
        return COMMA_TOO_MANY
    if why.startswith("Expecting property name") and (key := re.match(r"[A-Za-z_$][\w$]*", here)):
        return f"the key {key[0]} has no quotes", f"Write it in double quotes. {_WRITE}"
    if why.startswith("Invalid control character"):
        return "a line break or another control character within a text", "Write a line break as \\n."
    return why, _NOT_JSON
