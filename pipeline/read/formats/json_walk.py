"""Read the records of a JSON text that are not simply an array or one after the other: as json_layout.py found them.

The text stays a stream: what stands beside the records is skipped token by token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.datasets.column_forms import loose_form
from pipeline.errors import Unreadable
from pipeline.exact_json import DuplicateKeys
from pipeline.read.formats import nested_json
from pipeline.read.formats.json_layout import Layout, id_in, is_record, layout_below, path_text, several_places
from pipeline.read.formats.json_pages import AROUND, Pages
from pipeline.read.formats.json_tables import checked_names, record_of
from pipeline.read.formats.json_tokens import JsonReader
from pipeline.read.formats.nested_json import FoundRecord
from pipeline.read.raw_tables import RawTables

_BESIDE_MOST = 20


class RecordWalker:
    """Walks through one text. What was found, and what was skipped beside it, is noted at the end."""

    def __init__(self, text: JsonReader, layout: Layout, staging: RawTables) -> None:
        self._text, self._layout, self._staging = text, layout, staging
        self._beside: dict[str, None] = {}
        self._names = layout.names  # of a table
        self._pages = Pages()
        self._is_seen = False  # the layout of the place where the records are

    def records(self) -> Iterator[FoundRecord]:
        """Yield the records of all documents. Raises Unreadable where one does not have the layout of the first."""
        text = self._text
        if self._layout.is_bulk:
            yield from self._bulk()
        while text.peek():
            self._pages.begin()
            yield from self._at(self._layout.path)
            if text.peek() == ",":
                text.expect(",")
        self._report()

    def _at(self, path: tuple[str, ...]) -> Iterator[FoundRecord]:
        """Yield the records below ``path``, seen from the value that comes next."""
        text = self._text
        if not path:
            yield from self._here()
        elif text.peek() == "{":
            found = []
            for key in self._members():
                if key == path[0]:
                    found.append(key)
                    yield from self._at(path[1:])
                else:
                    self._skip(key, path)
            if len(found) != 1:
                raise self._nothing_at(path[0], twice=bool(found))
        elif text.peek() == "[":
            place = int(path[0]) if path[0].isdecimal() else None
            found_place = place is None
            for number in self._elements():
                if place is None:
                    yield from self._at(path)
                elif number == place:
                    found_place = True
                    yield from self._at(path[1:])
                else:
                    self._skip("", path)
            if not found_place:
                raise self._nothing_at(path[0])
        else:
            raise self._nothing_at(path[0])

    def _here(self) -> Iterator[FoundRecord]:
        """Yield the records of the value that comes next: an array of them, an object of them, or one."""
        text = self._text
        opens = text.peek()
        if not self._is_seen and self._layout.path:
            self._layout, self._is_seen = layout_below(text, self._staging.dataset, self._layout), True
        if opens == "[" and self._layout.is_lines:
            yield from self._table_row()
        elif opens == "[":
            for _ in self._elements():
                yield from self._table_row() if self._layout.is_table else self._one()
        elif opens == "{" and self._layout.is_keyed:
            for key in self._members():
                yield from (self._keyed(key, found) for found in self._one())
        else:
            yield from self._one()

    def _one(self) -> Iterator[FoundRecord]:
        text, envelope = self._text, self._layout.envelope
        text.peek()
        children = self._staging.dataset.shape.children
        if children and not envelope:
            yield from nested_json.walk(text, children)
            return
        found = FoundRecord(text.next_row(), text.line, text.value())
        yield found._replace(value=self._opened(found.value, envelope)) if envelope else found

    def _table_row(self) -> Iterator[FoundRecord]:
        """Yield the record of the array that comes next; the first one has the names, if nothing else has them."""
        text = self._text
        text.peek()
        line, value = text.line, text.value()
        if not self._names and isinstance(value, list):
            self._names = checked_names(value)
        else:
            yield FoundRecord(text.next_row(), line, record_of(value, self._names, pads=self._layout.pads))

    def _opened(self, value: Any, envelope: str) -> Any:
        """Return the record in an envelope, with the envelope's id if it has none of its own."""
        inner = value.get(envelope) if isinstance(value, dict) else None
        if not isinstance(inner, dict):
            return value
        outer = value.get("id" if envelope in ("properties", "doc") else "_id")
        if outer is not None and not is_record(inner, self._staging.dataset):
            inner = _with_id(inner, self._staging.dataset.key, outer)
        if isinstance(value, DuplicateKeys):
            inner = DuplicateKeys([*inner.items()], value.key)
        if envelope == "properties":
            self._beside.update(dict.fromkeys(key for key in value if key not in ("type", "properties", "id")))
        return inner

    def _keyed(self, key: str, found: FoundRecord) -> FoundRecord:
        """Return a record with the key that it stands under as its id; one of another id is a finding."""
        value, dataset = found.value, self._staging.dataset
        if not isinstance(value, dict) or found.above:
            return found
        own = id_in(value, dataset)
        if self._layout.is_numbered and own is not None and key.isdecimal():
            return found
        if own is None:
            return found._replace(value=_with_id(value, dataset.key, key))
        if str(value[own]) != key:
            self._staging.add_finding(
                "malformed_row",
                f"The record is under the key {key[:60]!r}, but its {own} is {str(value[own])[:60]!r}.",
                row=found.row,
                line=found.line,
                column=dataset.key,
                value=str(value[own]),
                hint="Write the same id in both places, or remove it from the record.",
            )
        return found

    def _bulk(self) -> Iterator[FoundRecord]:
        """Yield the records of Elasticsearch's bulk format: a line with an action, then a line with the record."""
        text, key = self._text, self._staging.dataset.key
        while text.peek():
            line, action = text.line, text.value()
            name, said = next(iter(action.items())) if isinstance(action, dict) and len(action) == 1 else ("", None)
            if name not in ("index", "create", "update") or not isinstance(said, dict):
                raise Unreadable(
                    f"Line {line} should say index, create or update, as the bulk format of Elasticsearch does.",
                    hint="Remove the lines that delete records, or upload the records alone, one a line.",
                    line=line,
                )
            text.peek()
            found = FoundRecord(text.next_row(), text.line, text.value())
            value = found.value.get("doc") if name == "update" and isinstance(found.value, dict) else found.value
            if isinstance(value, dict) and said.get("_id") is not None and not is_record(value, self._staging.dataset):
                value = _with_id(value, key, said["_id"])
            yield found._replace(value=value)

    # --- Tokens ---

    def _members(self) -> Iterator[str]:
        """Yield the keys of the object that comes next; the caller reads their values."""
        text = self._text
        text.expect("{")
        while text.peek() != "}":
            if text.peek() != '"':
                raise text.broken(f"expected a key in quotes, found {text.peek()!r}")
            key = text.value()
            text.expect(":")
            yield key
            if text.peek() == "}":
                break
            text.expect_comma("}")
        text.expect("}")

    def _elements(self) -> Iterator[int]:
        """Yield the places of the elements of the array that comes next; the caller reads them."""
        text, place = self._text, 0
        text.expect("[")
        while text.peek() != "]":
            yield place
            place += 1
            if text.peek() == "]":
                break
            text.expect_comma("]")
        text.expect("]")

    def _skip(self, key: str, path: tuple[str, ...]) -> None:
        """Skip the value of ``key``, which stands beside the records. Raises Unreadable if it has records too."""
        text, depth = self._text, 0
        if key and len(self._beside) < _BESIDE_MOST:
            self._beside[key] = None
        if key and loose_form(key) in AROUND and text.peek() == "{" and not self._layout.is_said:
            self._see_around(key, text.value(), path)
            return
        while True:
            token = text.peek()
            if token and token in "[{":
                text.expect(token)
                depth += 1
                is_first = token == "[" and text.peek() == "{" and depth == 1
                if is_first and not self._layout.is_said and is_record(text.value(), self._staging.dataset):
                    here = self._layout.path[: len(self._layout.path) - len(path)]
                    raise several_places([self._layout.path, (*here, key)])
            elif token and token in "]}":
                text.expect(token)
                depth -= 1
            elif depth and token and token in ",:":
                text.expect(token)
            elif depth:
                text.value()
            else:
                self._pages.see(key, text.value())
            if not depth:
                return

    def _see_around(self, key: str, value: Any, path: tuple[str, ...]) -> None:
        """See an object beside the records, which may say that there are more pages. Raises Unreadable if it has records."""
        dataset, here = self._staging.dataset, self._layout.path[: len(self._layout.path) - len(path)]
        for inner, one in value.items() if isinstance(value, dict) else ():
            if isinstance(one, list) and one and is_record(one[0], dataset):
                raise several_places([self._layout.path, (*here, key, inner)])
        self._pages.see(key, value)

    def _nothing_at(self, step: str, *, twice: bool = False) -> Unreadable:
        what = f"the key {step!r} twice" if twice else f"nothing under {step!r}"
        beside = ", ".join([*self._beside][:_BESIDE_MOST])
        return Unreadable(
            f"The document that ends on line {self._text.line} has {what}, where the records should be"
            f" (records_at={path_text(self._layout.path)}).{f' It has: {beside}.' if beside else ''}",
            hint="Say where the records are: keys with dots between them, for instance records_at=data.items.",
            line=self._text.line,
        )

    def _report(self) -> None:
        self._pages.finish(self._text.rows, self._staging)
        layout, told = self._layout, []
        if layout.is_bulk:
            told.append("The file has the bulk format of Elasticsearch; the records were read without the lines between them")
        if layout.path and not layout.is_said:
            told.append(f"The records were read from {path_text(layout.path)}")
        if layout.is_keyed:
            done = "number them, and were not read" if layout.is_numbered else "were read as their ids"
            told.append(f"The keys of the records {done}")
        if layout.is_table:
            where = "'columns' has" if layout.names else "the first has"
            told.append(f"The records are arrays; {where} the columns' names")
        if layout.envelope:
            told.append(f"Each record was read from its {layout.envelope!r}")
        if told:
            beside = f" Not read: {', '.join(self._beside)}." if self._beside else ""
            self._staging.note(
                "json_layout", f"{'. '.join(told)}.{beside}", "To read others: records_at, for instance data.items."
            )


def _with_id(value: dict[str, Any], key: str, own: Any) -> dict[str, Any]:
    """Return the object with an id; keys that appear twice stay known."""
    members = [(key, own), *value.items()]
    return DuplicateKeys(members, value.key) if isinstance(value, DuplicateKeys) else dict(members)
