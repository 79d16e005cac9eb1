"""Read JSON: an array of records, or one record after the other (NDJSON), and what json_layout.py recognises.

Stricter than Python's parser.

Numbers stay as they were written, so that an id of thirty digits keeps them. NaN is not JSON. A key that appears twice in one
record is a finding, since it is not known which value is meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.errors import Unreadable
from pipeline.exact_json import DuplicateKeys
from pipeline.read.formats import nested_json
from pipeline.read.formats.json_columns import JsonColumns
from pipeline.read.formats.json_layout import is_record, layout_of, path_text
from pipeline.read.formats.json_tokens import JsonReader, Number
from pipeline.read.formats.json_values import JsonValues, as_json, text_of, without_surrogates
from pipeline.read.formats.json_walk import RecordWalker
from pipeline.read.formats.nested_json import FoundRecord
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult

_BATCH_ROWS = 20_000
_BATCH_CHARACTERS = 1 << 23
_FOREIGN: tuple[tuple[set[str], str], ...] = (
    (
        {"attributes", "relationships"},
        "This is JSON:API. Make records of it: jq '[.data[] | {id, parentId: .relationships.parent.data.id} + .attributes]'.",
    ),
    (
        {"kind", "metadata"},
        "These are objects of Kubernetes. Make records of them: jq '[.items[] | {id: .metadata.uid, name: .metadata.name,"
        " parentId: .metadata.ownerReferences[0].uid}]'.",
    ),
    (
        {"fields", "key"},
        "These are issues of Jira. Make records of them: jq '[.issues[] | {id: .key, parentId: .fields.parent.key}]'.",
    ),
)
"""Keys of records, and how to make records with ids of them."""


def read_array(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a JSON array of objects. Raises Unreadable if the text is not one whole array."""
    text = JsonReader(chunks, staging.limits)
    layout = layout_of(text, staging.dataset, staging.options.records_at)
    found = _arrays(text, staging) if layout.is_plain else RecordWalker(text, layout, staging).records()
    return _Rows(staging).fill(found, text, may_be_wrapped=layout.is_plain)


def read_lines(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from objects that follow each other. Raises Unreadable if the text is incomplete or something else."""
    text = JsonReader(chunks, staging.limits)
    layout = layout_of(text, staging.dataset, staging.options.records_at)
    found = _documents(text, staging) if layout.is_plain else RecordWalker(text, layout, staging).records()
    return _Rows(staging).fill(found, text, may_be_wrapped=layout.is_plain)


# --- From text to values ---


def _arrays(text: JsonReader, staging: RawTables) -> Iterator[FoundRecord]:
    """Yield the records of an array, or of several that follow each other."""
    while True:
        yield from _elements(text, staging.dataset.shape.children)
        if text.peek() != "[":
            break
        staging.note("json_layout", "Several JSON arrays follow each other; they were read as one.")
    if text.peek():
        raise text.broken("something follows the array")


def _elements(text: JsonReader, children: str | None) -> Iterator[FoundRecord]:
    text.expect("[")
    if text.peek() != "]":
        while True:
            yield from _next_records(text, children)
            if text.peek() != ",":
                break
            text.expect_comma("]")
    if not text.peek():
        raise Unreadable(
            "The JSON array ends in the middle: its closing ] is missing.",
            hint="Upload the file again: it is incomplete.",
            line=text.line,
        )
    text.expect("]")


def _documents(text: JsonReader, staging: RawTables) -> Iterator[FoundRecord]:
    children = staging.dataset.shape.children
    while opens := text.peek():
        if opens == ",":
            text.expect_comma(",")
            staging.note("json_layout", "There are commas between the records; they were read without.")
        else:
            yield from _next_records(text, children)


def _next_records(text: JsonReader, children: str | None) -> Iterator[FoundRecord]:
    """Yield the next record, and those nested in it where ``children`` names the key of their list."""
    text.peek()
    return nested_json.walk(text, children) if children else iter((FoundRecord(text.next_row(), text.line, text.value()),))


# --- From values to rows ---


class _Rows:
    """The rows of one text on their way into ``raw``."""

    def __init__(self, staging: RawTables) -> None:
        self._staging = staging
        self._columns = JsonColumns(staging, self._flush)
        self._values = JsonValues(self._columns, staging)
        self._trees: dict[str, None] = {}  # keys under which records seem to be nested
        self._rows: list[dict[str, str | None]] = []
        self._numbers: list[int] = []  # of these rows
        self._characters = 0
        self._anchors: list[tuple[int, int]] = []
        self._nested: list[tuple[int, int]] = []

    def fill(self, found: Iterator[FoundRecord], text: JsonReader, *, may_be_wrapped: bool) -> ReadResult:
        """Write all records. Raises Unreadable."""
        staging, columns = self._staging, self._columns
        staging.connection.execute("create or replace table raw (_row bigint)")
        has_nul, has_trees, distance = False, False, None
        for row, line, value, above, in_tree in found:
            if line - row != distance or in_tree:  # those of a tree come when they end, not in their order
                distance = line - row
                self._anchors.append((row, line))
            if row == 1 and may_be_wrapped:
                _refuse_wrapping(value, staging)
            has_trees = has_trees or in_tree
            record = self._record(value, row, line)
            if record is not None:
                written = "".join(filter(None, record.values()))
                has_nul = has_nul or "\0" in written
                self._characters += len(written)
                self._rows.append(record)
                self._numbers.append(row)
            if above:
                self._nested.append((row, above))
            if len(self._rows) >= _BATCH_ROWS or len(self._anchors) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
                self._flush()
        self._flush()
        if has_trees:
            if staging.dataset.parent not in columns.values():
                columns.add([staging.dataset.parent], 1, 1)
            if staging.dataset.key in columns.values():
                nested_json.set_parents(staging)
        self._values.report()
        if text.has_marks:
            staging.note(
                "unusual_format", "Byte order marks or record separators are between the records; they were passed over."
            )
        hint = self._note_trees(text.rows) or self._foreign_hint()
        return ReadResult(text.rows, tuple(columns.values()), text.longest_bytes, has_nul, originals=tuple(columns), hint=hint)

    def _flush(self) -> None:
        nested_json.store_nesting(self._nested, self._staging)
        if self._rows:
            values = {name: pa.array([row.get(name) for row in self._rows], pa.string()) for name in self._columns.values()}
            self._staging.insert("raw", pa.table({"_row": pa.array(self._numbers, pa.int64()), **values}))
            self._rows.clear()
            self._numbers.clear()
        self._staging.add_line_numbers(self._anchors)
        self._anchors.clear()
        self._characters = 0

    def _record(self, value: Any, row: int, line: int) -> dict[str, str | None] | None:
        """Return the texts of one record by the names in ``raw``; a value that is not valid is left empty and is a finding."""
        staging, columns, values = self._staging, self._columns, self._values
        if not isinstance(value, dict):
            hint = 'A record is an object, for instance {"id": "1", "parentId": null}.'
            written = without_surrogates(as_json(value))
            staging.add_finding("malformed_row", "This is not a record.", row=row, line=line, value=written, hint=hint)
            staging.add_malformed(row, line, written)
            return None
        if isinstance(value, nested_json.MisplacedChildren):
            message = f"The value of {staging.dataset.shape.children!r} is not a list of records."
            staging.add_finding(
                "malformed_row", message, row=row, line=line, hint="Write the children as a list, or remove them."
            )
        if isinstance(value, DuplicateKeys):
            hint = "Keep one of the two."
            which = f"The key {without_surrogates(value.key)!r}" if value.key else "A key"
            staging.add_finding("malformed_row", f"{which} appears twice in the record.", row=row, line=line, hint=hint)
        value = values.plain_record(value)
        try:
            names = [columns[original] for original in value]
        except KeyError:
            columns.add(value, row, line)
            names = [columns.name_of(original) for original in value]
        texts: dict[str, str | None] = {}
        for name, original, one in zip(names, value, value.values(), strict=True):
            if type(one) is str and one.isascii():
                texts[name] = one
                continue
            if isinstance(one, dict | list):
                self._see_tree(original, one)
                one = values.unwrapped(name, one)
            elif isinstance(one, Number):
                one = values.whole(name, one)
            fault = values.fault(name, one)
            if fault:
                code, message, hint = fault
                staging.add_finding(
                    code, message, row=row, line=line, column=name, value=without_surrogates(as_json(one)), hint=hint
                )
            texts[name] = None if fault else text_of(one)
        return texts

    def _foreign_hint(self) -> str:
        """Return how to make records of objects whose ids are within other objects, for formats that are known."""
        return next((hint for keys, hint in _FOREIGN if keys <= self.keys()), "")

    def keys(self) -> set[str]:
        """Return the keys of all records so far."""
        return {*self._columns}

    def _see_tree(self, key: str, value: Any) -> None:
        if isinstance(value, list) and value and key not in self._trees and is_record(value[0], self._staging.dataset):
            self._trees[without_surrogates(key)] = None

    def _note_trees(self, rows: int) -> str:
        """Return the hint for a file without parents whose records seem to be nested; note it for any other file."""
        dataset = self._staging.dataset
        key = next((key for key in self._trees if self._columns[key] not in dataset.names), None)
        if key is None:
            return ""
        hint = f"If the records under {key!r} are the children of the one around them: shape={json.dumps({'children': key})}."
        self._staging.note("nested_records", f"Records have other records under {key!r}, which were kept as its value.", hint)
        return f"{hint} If only those are the records: records_at={path_text((key,))}." if rows == 1 else hint


def _refuse_wrapping(value: Any, staging: RawTables) -> None:
    """Raise Unreadable for ``{"data": [...]}``: it is an object around the records, not a record."""
    if not isinstance(value, dict) or is_record(value, staging.dataset):
        return
    lists = [
        key
        for key, one in value.items()
        if isinstance(one, list) and all(isinstance(each, dict) for each in one) and (one or len(value) == 1)
    ]
    if lists and any(lists[0] in one for one in value[lists[0]]):
        raise Unreadable(
            f"The document is a tree: the objects under {lists[0]!r} have others under {lists[0]!r}.",
            hint=f"Say shape={json.dumps({'children': lists[0]})}. Each object needs an id of its own.",
            line=1,
        )
    if lists:
        raise Unreadable(
            f"The records are wrapped in an object, under the key {lists[0]!r}.",
            hint=f"Say where they are: records_at={path_text((lists[0],))}. Or upload the array in {lists[0]!r} by itself.",
            line=1,
        )
