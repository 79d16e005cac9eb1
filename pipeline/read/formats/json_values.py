"""Make texts of the values of a JSON record, and say what is wrong with a value whatever its column's type.

Some spellings mean one plain value: MongoDB's ``{"$oid": "..."}``, and a parent that is given as an object with an id, or as a
list of one. They are unwrapped, counted, and reported once.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.datasets.column_forms import loose_form
from pipeline.display import counted
from pipeline.exact_json import duplicate_key_in, duplicate_key_message
from pipeline.read.formats.json_tokens import Number
from pipeline.read.raw_tables import RawTables

_PLAIN = ("$oid", "$uuid", "$numberLong", "$numberInt", "$numberDecimal", "$numberDouble", "$symbol")
_IDS_OF_PARENTS = ("id", "_id", "key", "value", "code", "uuid", "guid", "number")
_EXTENDED, _OBJECTS, _LISTS = "extended JSON", "objects", "lists"
_DYNAMO, _SPARQL, _DECIMALS = "DynamoDB", "SPARQL", "decimals"
_WHOLE = re.compile(r"-?[0-9]+\.0+")
_DYNAMO_TYPES = ("S", "N", "B", "BOOL", "NULL", "SS", "NS", "L", "M")


class JsonValues:
    """The values of one file. ``columns`` are the names in the file with their names in ``raw``, and grow while it is read."""

    def __init__(self, columns: Mapping[str, str], staging: RawTables) -> None:
        self._columns, self._staging = columns, staging
        self._key, self._parent = staging.dataset.key, staging.dataset.parent
        self._counted = Counter[tuple[str, str]]()

    def unwrapped(self, name: str, value: Any) -> Any:
        """Return an object or a list as the plain value that it means for certain, else unchanged."""
        simple = _extended(value)
        if simple is not value:
            self._counted[_EXTENDED, name] += 1
        if name != self._parent or not isinstance(simple, dict | list):
            return simple
        if isinstance(simple, list) and len(simple) < 2:
            self._counted[_LISTS, name] += 1
            simple = _extended(simple[0]) if simple else None
        if isinstance(simple, dict) and (own := self._id_of(simple)):
            self._counted[_OBJECTS, name] += 1
            simple = _extended(simple[own])
        return simple

    def plain_record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a record of which every value says its type, as DynamoDB and SPARQL write them, with the plain values."""
        for kind, is_typed, plain in ((_DYNAMO, _is_of_dynamo, _of_dynamo), (_SPARQL, _is_of_sparql, _of_sparql)):
            if record and all(map(is_typed, record.values())):
                self._counted[kind, "records"] += 1
                return {key: plain(value) for key, value in record.items()}
        return record

    def whole(self, name: str, number: Number) -> Number:
        """Return an id that is written as 1.0 as the whole number that it is; any other number unchanged."""
        if name not in (self._key, self._parent) or "." not in number or not _WHOLE.fullmatch(number):
            return number
        self._counted[_DECIMALS, name] += 1
        return Number(number.partition(".")[0])

    def _id_of(self, parent: dict[str, Any]) -> str | None:
        """Return the key of an object's id: what the file's records call it, or one of the names that are usual."""
        forms = [original for original, name in self._columns.items() if name == self._key]
        wanted = [loose_form(name) for name in (*forms, self._key)]
        by_form = {loose_form(key): key for key in parent}
        found = next((by_form[form] for form in wanted if form in by_form), None)
        found = found or next((key for key in _IDS_OF_PARENTS if key in parent), None)
        return found if found and not isinstance(_extended(parent[found]), dict | list) else None

    def report(self) -> None:
        """Note what was unwrapped."""
        for kind, code, what, hint in (
            (_EXTENDED, "extended_json", 'MongoDB\'s extended JSON, such as {"$oid": ...}, was read as the plain value', ""),
            (_DYNAMO, "extended_json", 'The typed values of DynamoDB, such as {"S": ...}, were read as the plain values', ""),
            (_SPARQL, "extended_json", "The values of a SPARQL result were read without their types", ""),
            (
                _DECIMALS,
                "whole_numbers",
                "Whole numbers were written as decimals, and read without: 1.0 as 1",
                "Data frames do this to a column with empty values. In pandas, use the type Int64 for it.",
            ),
            (_OBJECTS, "parent_object", "Parents that are objects were read as the id in them", ""),
            (_LISTS, "parent_object", "Parents that are lists of at most one were read as the one", ""),
        ):
            counts = [
                f"{name} ({count:,} {'value' if count == 1 else 'values'})" if name != "records" else counted(count, "record")
                for (of, name), count in self._counted.items()
                if of == kind
            ]
            if counts:
                self._staging.note(code, f"{what}: {', '.join(counts[:8])}.", hint)

    def fault(self, name: str, value: Any) -> tuple[str, str, str] | None:
        """Return (code, message, hint) of what is wrong with a value, whatever its column's type, or None."""
        if isinstance(value, str) and value.isascii() and (not isinstance(value, Number) or value.lstrip("-").isdigit()):
            return None
        if name in (self._key, self._parent) and not _may_be_id(value):
            return self._not_an_id(name, value)
        nesting = self._staging.limits.nesting
        if isinstance(value, dict | list) and _depth(value) > nesting:
            return "malformed_row", f"The value is nested more than {nesting} deep.", "Flatten it."
        if isinstance(value, dict | list) and (twice := duplicate_key_in(value, name)):
            return "malformed_row", duplicate_key_message(*twice), "Keep one of the two."
        try:
            as_json(value).encode()
        except UnicodeEncodeError:
            return (
                "invalid_character",
                "The value contains half of a character (a lone surrogate).",
                "Write the whole character.",
            )
        return None

    def _not_an_id(self, name: str, value: Any) -> tuple[str, str, str]:
        if name == self._parent and isinstance(value, list) and len(value) > 1:
            hint = "Keep one of them: a record has only one parent."
            return "invalid_type", f"The record names {len(value)} parents: {as_json(value)[:60]}.", hint
        hint = 'Write it as text, for instance "17", or as a whole number.'
        if name == self._parent and value is False:
            hint = "If the record has no parent, write null."
        return "invalid_type", f"{as_json(value)[:60]} is neither text nor a whole number.", hint


def text_of(value: Any) -> str | None:
    """Return a value as text for ``raw``: text unchanged, numbers as written, nested values as JSON."""
    if value is None:
        return None
    return str(value) if isinstance(value, str) else as_json(value)


def as_json(value: Any) -> str:
    """Return a value as JSON text, with numbers as they are in the file."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{as_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def without_surrogates(text: str) -> str:
    """Return the text with its lone surrogates escaped, since they are not characters."""
    return text.encode(errors="backslashreplace").decode()


def _extended(value: Any) -> Any:
    """Return the plain value of MongoDB's extended JSON; any other value unchanged."""
    if not isinstance(value, dict) or not 0 < len(value) <= 3:
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key in _PLAIN and isinstance(inner, str) and (key.startswith("$number") or not isinstance(inner, Number)):
            return Number(inner) if key in ("$numberLong", "$numberInt") and inner.lstrip("-").isdigit() else inner
        if key == "$date":
            return _date(inner, value)
    if "$ref" in value and "$id" in value and value.keys() <= {"$ref", "$id", "$db"}:
        return _extended(value["$id"])
    return value


def _is_of_dynamo(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, inner),) = value.items()
    return kind in _DYNAMO_TYPES and (not isinstance(inner, Number)) and (inner is not None)


def _of_dynamo(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    return None if kind == "NULL" else Number(inner) if kind == "N" and isinstance(inner, str) else inner


def _is_of_sparql(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("type") not in ("uri", "literal", "typed-literal", "bnode"):
        return False
    return isinstance(value.get("value"), str) and value.keys() <= {"type", "value", "datatype", "xml:lang"}


def _of_sparql(value: dict[str, Any]) -> Any:
    return value["value"]


def _date(inner: Any, given: Any) -> Any:
    """Return a date as ISO text: it is written so already, or as milliseconds since 1970."""
    inner = _extended(inner)
    if not isinstance(inner, Number):
        return inner if isinstance(inner, str) else given
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(inner))
    except (ValueError, OverflowError):
        return given
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _may_be_id(value: Any) -> bool:
    if isinstance(value, Number):
        return value.lstrip("-").isdigit()
    return value is None or isinstance(value, str)


def _depth(value: Any) -> int:
    inner: Callable[[Any], Any] = lambda one: one.values() if isinstance(one, dict) else one  # noqa: E731
    deep, level = 0, [value]
    while level:
        deep += 1
        level = [under for one in level for under in inner(one) if isinstance(under, dict | list)]
    return deep
