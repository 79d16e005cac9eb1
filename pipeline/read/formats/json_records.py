"""Read JSON: an array of records, or one record after the other (NDJSON). Stricter than Python's parser.

Numbers stay as they were written, so that an id of thirty digits keeps them. NaN is not JSON. A key that appears twice in one
record is a finding, since it is not known which value is meant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from pipeline.errors import Unreadable
from pipeline.exact_json import DuplicateKeys, duplicate_key_in, duplicate_key_message
from pipeline.read import column_mapping
from pipeline.read.formats import nested_json
from pipeline.read.formats.json_tokens import JsonReader, Number
from pipeline.read.formats.nested_json import FoundRecord
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted

_BATCH_ROWS = 20_000
_BATCH_CHARACTERS = 1 << 23


def read_array(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a JSON array of objects. Raises Unreadable if the text is not one whole array."""
    text = JsonReader(chunks, staging.limits)
    text.expect("[")
    return _fill(_elements(text, staging.dataset.shape.children), text, staging)


def read_lines(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from objects that follow each other. Raises Unreadable if the text is incomplete or something else."""
    text = JsonReader(chunks, staging.limits)
    return _fill(_documents(text, staging.dataset.shape.children), text, staging)


# --- From text to values ---


def _elements(text: JsonReader, children: str | None) -> Iterator[FoundRecord]:
    if text.peek() != "]":
        while True:
            yield from _next_records(text, children)
            if text.peek() != ",":
                break
            text.expect(",")
    if not text.peek():
        raise Unreadable(
            "The JSON array ends in the middle: its closing ] is missing.",
            hint="Upload the file again: it is incomplete.",
            line=text.line,
        )
    text.expect("]")
    if text.peek():
        raise text.broken("something follows the array")


def _documents(text: JsonReader, children: str | None) -> Iterator[FoundRecord]:
    while text.peek():
        yield from _next_records(text, children)


def _next_records(text: JsonReader, children: str | None) -> Iterator[FoundRecord]:
    """Yield the next record, and those nested in it where ``children`` names the key of their list."""
    text.peek()
    return nested_json.walk(text, children) if children else iter((FoundRecord(text.next_row(), text.line, text.value()),))


# --- From values to rows ---


def _fill(found: Iterator[FoundRecord], text: JsonReader, staging: RawTables) -> ReadResult:
    staging.connection.execute("create or replace table raw (_row bigint)")
    columns: dict[str, str] = {}  # name in the file -> name in raw
    rows: list[dict[str, Any]] = []
    has_nul, has_trees, distance, characters = False, False, None, 0
    anchors: list[tuple[int, int]] = []
    nested: list[tuple[int, int]] = []
    for row, line, value, above, in_tree in found:
        if line - row != distance or in_tree:  # those of a tree come when they end, not in their order
            distance = line - row
            anchors.append((row, line))
        if row == 1:
            _refuse_wrapping(value, staging)
        has_trees = has_trees or in_tree
        record = _record(value, row, line, columns, staging)
        if record is not None:
            has_nul = has_nul or any(one is not None and "\0" in one for one in record.values())
            rows.append({"_row": row, **record})
            characters += sum(len(one) for one in record.values() if one)
        if above:
            nested.append((row, above))
        if len(rows) >= _BATCH_ROWS or len(anchors) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            _flush(rows, anchors, nested, columns, staging)
            characters = 0
    _flush(rows, anchors, nested, columns, staging)
    if has_trees:
        if staging.dataset.parent not in columns.values():
            _add_column(staging.dataset.parent, columns, 1, 1, staging)
        if staging.dataset.key in columns.values():
            nested_json.set_parents(staging)
    return ReadResult(text.rows, tuple(columns.values()), text.longest_bytes, has_nul, originals=tuple(columns))


def _add_column(original: str, columns: dict[str, str], row: int, line: int, staging: RawTables) -> str:
    """Add a column to ``raw`` for a key that is new; return its name."""
    sound = _without_surrogates(original)
    name = column_mapping.raw_names((*columns, sound), staging.dataset, staging.limits, line=line)[-1]
    columns[sound] = name
    staging.connection.execute(f"alter table raw add column {quoted(name)} varchar")
    staging.check_unknown_column(name, sound, row=row, line=line)
    return name


def _flush(
    rows: list[dict[str, Any]],
    anchors: list[tuple[int, int]],
    nested: list[tuple[int, int]],
    columns: dict[str, str],
    staging: RawTables,
) -> None:
    nested_json.store_nesting(nested, staging)
    if rows:
        schema = pa.schema([("_row", pa.int64()), *((name, pa.string()) for name in columns.values())])
        staging.insert("raw", pa.Table.from_pylist(rows, schema=schema))
        rows.clear()
    staging.add_line_numbers(anchors)
    anchors.clear()


def _refuse_wrapping(value: Any, staging: RawTables) -> None:
    """Raise Unreadable for ``{"data": [...]}``: it is an object around the records, not a record."""
    if isinstance(value, dict) and staging.dataset.key not in value:
        lists = [key for key, one in value.items() if isinstance(one, list)]
        if lists:
            raise Unreadable(
                f"The records are wrapped in an object, under the key {lists[0]!r}.",
                hint=f"Upload the array in {lists[0]!r} by itself.",
                line=1,
            )


def _record(value: Any, row: int, line: int, columns: dict[str, str], staging: RawTables) -> dict[str, str | None] | None:
    """Return the texts of one record, by the names in ``raw``; a value that is not valid is left empty and is a finding."""
    if not isinstance(value, dict):
        hint = 'A record is an object, for instance {"id": "1", "parentId": null}.'
        written = _without_surrogates(_as_json(value))
        staging.add_finding("malformed_row", "This is not a record.", row=row, line=line, value=written, hint=hint)
        staging.add_malformed(row, line, written)
        return None
    if isinstance(value, nested_json.MisplacedChildren):
        message = f"The value of {staging.dataset.shape.children!r} is not a list of records."
        staging.add_finding("malformed_row", message, row=row, line=line, hint="Write the children as a list, or remove them.")
    if isinstance(value, DuplicateKeys):
        hint = "Keep one of the two."
        which = f"The key {_without_surrogates(value.key)!r}" if value.key else "A key"
        staging.add_finding("malformed_row", f"{which} appears twice in the record.", row=row, line=line, hint=hint)
    texts: dict[str, str | None] = {}
    for original, one in value.items():
        name = (
            columns.get(original)
            or columns.get(_without_surrogates(original))
            or _add_column(original, columns, row, line, staging)
        )
        fault = _fault(name, one, staging)
        if fault:
            code, message, hint = fault
            staging.add_finding(
                code, message, row=row, line=line, column=name, value=_without_surrogates(_as_json(one)), hint=hint
            )
        texts[name] = None if fault else _text(one)
    return texts


def _fault(name: str, value: Any, staging: RawTables) -> tuple[str, str, str] | None:
    """Return (code, message, hint) of what is wrong with a value, whatever its column's type, or None."""
    if isinstance(value, str) and value.isascii() and (not isinstance(value, Number) or value.lstrip("-").isdigit()):
        return None
    if name in (staging.dataset.key, staging.dataset.parent) and not _may_be_id(value):
        hint = 'Write it as text, for instance "17", or as a whole number.'
        return "invalid_type", f"{_as_json(value)[:60]} is neither text nor a whole number.", hint
    if isinstance(value, dict | list) and _depth(value) > staging.limits.nesting:
        return "malformed_row", f"The value is nested more than {staging.limits.nesting} deep.", "Flatten it."
    if isinstance(value, dict | list) and (twice := duplicate_key_in(value, name)):
        return "malformed_row", duplicate_key_message(*twice), "Keep one of the two."
    try:
        _as_json(value).encode()
    except UnicodeEncodeError:
        return "invalid_character", "The value contains half of a character (a lone surrogate).", "Write the whole character."
    return None


def _may_be_id(value: Any) -> bool:
    if isinstance(value, Number):
        return value.lstrip("-").isdigit()
    return value is None or isinstance(value, str)


def _without_surrogates(text: str) -> str:
    """Return the text with its lone surrogates escaped, since they are not characters."""
    return text.encode(errors="backslashreplace").decode()


def _text(value: Any) -> str | None:
    """Return a value as text for ``raw``: text unchanged, numbers as written, nested values as JSON."""
    if value is None:
        return None
    return str(value) if isinstance(value, str) else _as_json(value)


def _as_json(value: Any) -> str:
    """Return a value as JSON text, with numbers as they are in the file."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_as_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _depth(value: Any) -> int:
    inner: Callable[[Any], Any] = lambda one: one.values() if isinstance(one, dict) else one  # noqa: E731
    deep, level = 0, [value]
    while level:
        deep += 1
        level = [under for one in level for under in inner(one) if isinstance(under, dict | list)]
    return deep
