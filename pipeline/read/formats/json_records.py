"""JSON: an array of records, or one record after the other (NDJSON). Strict where Python's parser is forgiving.

Numbers stay as they were written, so that an id of thirty digits is the same afterwards. NaN is no JSON. A key that stands
twice in one record is a finding, since nobody can say which value was meant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from pipeline.errors import Unreadable
from pipeline.exact_json import Twice, twice_message, twice_within
from pipeline.read import column_mapping
from pipeline.read.formats import nested_json
from pipeline.read.formats.json_tokens import Number, Text
from pipeline.read.formats.nested_json import Found
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted

_BATCH_ROWS = 20_000
_BATCH_CHARACTERS = 1 << 23


def read_array(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a JSON array of objects. Raises Unreadable if the text is not one whole array."""
    text = Text(chunks, staging.limits)
    text.expect("[")
    return _fill(_elements(text, staging.dataset.shape.children), text, staging)


def read_lines(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from objects that follow each other. Raises Unreadable if the text breaks off or is something else."""
    text = Text(chunks, staging.limits)
    return _fill(_documents(text, staging.dataset.shape.children), text, staging)


# --- From text to values ---


def _elements(text: Text, children: str | None) -> Iterator[Found]:
    if text.peek() != "]":
        while True:
            yield from _taken(text, children)
            if text.peek() != ",":
                break
            text.expect(",")
    if not text.peek():
        raise Unreadable(
            "The JSON array ends in the middle: its closing ] is missing.",
            hint="Upload the file again: it was cut on its way.",
            line=text.line,
        )
    text.expect("]")
    if text.peek():
        raise text.broken("something follows the array")


def _documents(text: Text, children: str | None) -> Iterator[Found]:
    while text.peek():
        yield from _taken(text, children)


def _taken(text: Text, children: str | None) -> Iterator[Found]:
    """The record that comes next, and those that stand under it where ``children`` names the key of their list."""
    text.peek()
    return nested_json.walk(text, children) if children else iter((Found(text.next_row(), text.line, text.value()),))


# --- From values to rows ---


def _fill(found: Iterator[Found], text: Text, staging: RawTables) -> ReadResult:
    staging.connection.execute("create or replace table raw (_row bigint)")
    met: dict[str, str] = {}  # name in the file -> name in raw
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
        record = _record(value, row, line, met, staging)
        if record is not None:
            has_nul = has_nul or any(one is not None and "\0" in one for one in record.values())
            rows.append({"_row": row, **record})
            characters += sum(len(one) for one in record.values() if one)
        if above:
            nested.append((row, above))
        if len(rows) >= _BATCH_ROWS or len(anchors) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            _flush(rows, anchors, nested, met, staging)
            characters = 0
    _flush(rows, anchors, nested, met, staging)
    if has_trees:
        if staging.dataset.parent not in met.values():
            _meet(staging.dataset.parent, met, 1, 1, staging)
        if staging.dataset.key in met.values():
            nested_json.adopt(staging)
    return ReadResult(text.rows, tuple(met.values()), text.longest_bytes, has_nul, originals=tuple(met))


def _meet(original: str, met: dict[str, str], row: int, line: int, staging: RawTables) -> str:
    """Give ``raw`` a column for a key that was not met before; its name."""
    sound = _sound(original)
    name = column_mapping.named((*met, sound), staging.dataset, staging.limits, line=line)[-1]
    met[sound] = name
    staging.connection.execute(f"alter table raw add column {quoted(name)} varchar")
    staging.find_unknown_column(name, sound, row=row, line=line)
    return name


def _flush(
    rows: list[dict[str, Any]],
    anchors: list[tuple[int, int]],
    nested: list[tuple[int, int]],
    met: dict[str, str],
    staging: RawTables,
) -> None:
    nested_json.keep(nested, staging)
    if rows:
        schema = pa.schema([("_row", pa.int64()), *((name, pa.string()) for name in met.values())])
        staging.insert("raw", pa.Table.from_pylist(rows, schema=schema))
        rows.clear()
    staging.add_lines(anchors)
    anchors.clear()


def _refuse_wrapping(value: Any, staging: RawTables) -> None:
    """``{"data": [...]}`` is a document around records, not a record."""
    if isinstance(value, dict) and staging.dataset.key not in value:
        lists = [key for key, one in value.items() if isinstance(one, list)]
        if lists:
            raise Unreadable(
                f"The records are wrapped in an object, under the key {lists[0]!r}.",
                hint=f"Upload the array that stands under {lists[0]!r} by itself.",
                line=1,
            )


def _record(value: Any, row: int, line: int, met: dict[str, str], staging: RawTables) -> dict[str, str | None] | None:
    """The texts of one record, by the names in ``raw``; a value that cannot be one is left empty and reported."""
    if not isinstance(value, dict):
        hint = 'A record is an object, for instance {"id": "1", "parentId": null}.'
        written = _sound(_written(value))
        staging.find("malformed_row", "This is not a record.", row=row, line=line, value=written, hint=hint)
        staging.set_aside(row, line, written)
        return None
    if isinstance(value, nested_json.Misplaced):
        message = f"What stands under {staging.dataset.shape.children} is not a list of records."
        staging.find("malformed_row", message, row=row, line=line, hint="Write the children as a list, or leave them out.")
    if isinstance(value, Twice):
        hint = "Keep one of the two."
        which = f"The key {_sound(value.key)!r}" if value.key else "A key"
        staging.find("malformed_row", f"{which} stands twice in the record.", row=row, line=line, hint=hint)
    texts: dict[str, str | None] = {}
    for original, one in value.items():
        name = met.get(original) or met.get(_sound(original)) or _meet(original, met, row, line, staging)
        fault = _fault(name, one, staging)
        if fault:
            code, message, hint = fault
            staging.find(code, message, row=row, line=line, column=name, value=_sound(_written(one)), hint=hint)
        texts[name] = None if fault else _text(one)
    return texts


def _fault(name: str, value: Any, staging: RawTables) -> tuple[str, str, str] | None:
    """(code, message, hint) of what is wrong with a value, whatever its column's type."""
    if isinstance(value, str) and value.isascii() and (not isinstance(value, Number) or value.lstrip("-").isdigit()):
        return None
    if name in (staging.dataset.key, staging.dataset.parent) and not _may_be_id(value):
        hint = 'Write it as text, for instance "17", or as a whole number.'
        return "invalid_type", f"{_written(value)[:60]} is neither text nor a whole number.", hint
    if isinstance(value, dict | list) and _depth(value) > staging.limits.nesting:
        return "malformed_row", f"The value is nested more than {staging.limits.nesting} deep.", "Flatten it."
    if isinstance(value, dict | list) and (twice := twice_within(value, name)):
        return "malformed_row", twice_message(*twice), "Keep one of the two."
    try:
        _written(value).encode()
    except UnicodeEncodeError:
        return "invalid_character", "The value holds half of a character (a lone surrogate).", "Write it whole."
    return None


def _may_be_id(value: Any) -> bool:
    if isinstance(value, Number):
        return value.lstrip("-").isdigit()
    return value is None or isinstance(value, str)


def _sound(text: str) -> str:
    """The text with its lone surrogates spelled out, since they are no characters."""
    return text.encode(errors="backslashreplace").decode()


def _text(value: Any) -> str | None:
    """A value as ``raw`` keeps it: text as it is, numbers as written, nested values as JSON."""
    if value is None:
        return None
    return str(value) if isinstance(value, str) else _written(value)


def _written(value: Any) -> str:
    """A value as JSON text, numbers as the file spells them."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _depth(value: Any) -> int:
    inner: Callable[[Any], Any] = lambda one: one.values() if isinstance(one, dict) else one  # noqa: E731
    deep, level = 0, [value]
    while level:
        deep += 1
        level = [under for one in level for under in inner(one) if isinstance(under, dict | list)]
    return deep
