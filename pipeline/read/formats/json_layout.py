"""Recognise where the records of a JSON text are, by its opening: at the top, below a key, keyed by id, or in an envelope.

Only the opening is looked at, so that a document of any size stays a stream; what comes later and does not fit is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pipeline.datasets.column_forms import loose_form
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read.formats.json_mistakes import refuse_document
from pipeline.read.formats.json_tables import are_names, is_table, nameless, refuse_columns
from pipeline.read.formats.json_tokens import JsonReader
from pipeline.read.parent_columns import PARENT_FORMS

_LOOK_CHARACTERS = 1 << 16
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:"]|[^\s\[\]{},:"]+', re.DOTALL)
_DEPTH = 8  # of keys above the records
_BULK_ACTIONS = ("index", "create", "update", "delete")


@dataclass(frozen=True)
class Layout:
    """``path``: the keys above the records. ``is_said``: by the upload, so that nothing beside them matters."""

    path: tuple[str, ...] = ()
    is_said: bool = False
    is_keyed: bool = False  # the records are the values of an object, whose keys are their ids
    is_bulk: bool = False  # each record follows a line that says what to do with it (Elasticsearch's bulk format)
    envelope: str = ""  # the key in each value under which the record is
    is_numbered: bool = False  # of keyed records: the keys only number them
    is_table: bool = False  # the records are arrays; the first has the columns' names, or
    names: tuple[str, ...] = ()  # these are they
    is_lines: bool = False  # of a table: its arrays follow each other
    pads: bool = False  # of a table: values that are missing at the end of an array are empty

    @property
    def is_plain(self) -> bool:
        """Return whether the records are an array, or follow each other, and nothing is around them."""
        return self == Layout()


def layout_of(text: JsonReader, dataset: Dataset, records_at: str | None) -> Layout:
    """Return where the records are. Raises Unreadable if they can be in several places."""
    if records_at:
        return Layout(path_of(records_at), is_said=True)
    whole = text.first_object()
    refuse_columns(whole, id_in(whole, dataset) if isinstance(whole, dict) else None)
    if is_record(whole, dataset) and not envelope_of(whole):
        return Layout()
    values = partial_values(text.opening(_LOOK_CHARACTERS))
    if table := _table_of(values, dataset):
        return table
    if values and isinstance(values[0], list):
        values = values[0]
    first = next((value for value in values if isinstance(value, dict)), {})
    refuse_columns(first, id_in(first, dataset))
    if _is_action(first):
        return Layout(is_bulk=True)
    found = [*_places(first, (), dataset)] if not is_record(first, dataset) or envelope_of(first) else [Layout()]
    if len(found) > 1:
        raise several_places([one.path for one in found])
    if not found and len(values) == 1 and isinstance(values[0], dict):
        refuse_document(first)
    return found[0] if found else Layout()


def _table_of(values: list[Any], dataset: Dataset) -> Layout | None:
    """Return the layout of arrays of arrays, or of arrays that follow each other. Raises Unreadable if none has the names."""
    top = values[0] if values else None
    if not isinstance(top, list) or not top:
        return None
    is_lines = len(values) > 1 and isinstance(values[1], list) and not any(isinstance(one, list | dict) for one in top)
    if not is_lines and not is_table(top):
        return None
    if not are_names(top if is_lines else top[0], dataset):
        raise nameless(dataset)
    return Layout(is_table=True, is_lines=is_lines)


def layout_below(text: JsonReader, dataset: Dataset, layout: Layout) -> Layout:
    """Return the layout with what can be seen where the records begin, at which the text has arrived."""
    value = next(iter(partial_values(text.opening(_LOOK_CHARACTERS))), None)
    if is_table(value):
        return replace(layout, is_table=True)
    if isinstance(value, list):
        first = next((one for one in value if isinstance(one, dict)), {})
        return Layout(layout.path, layout.is_said, envelope=envelope_of(first))
    is_numbered = isinstance(value, dict) and _is_numbered(value, dataset)
    is_keyed = isinstance(value, dict) and (
        is_numbered
        or _is_keyed(value, dataset)
        or (not is_record(value, dataset) and bool(value) and all(isinstance(one, dict) for one in value.values()))
    )
    envelope = "" if is_keyed else envelope_of(value)
    return Layout(layout.path, layout.is_said, is_keyed, envelope=envelope, is_numbered=is_numbered)


def path_of(records_at: str) -> tuple[str, ...]:
    """Return the keys of ``data.items``; a dot within a key is written ``\\.``."""
    steps = re.split(r"(?<!\\)\.", records_at.strip().removeprefix("$."))
    return tuple(step.replace("\\.", ".") for step in steps)


def path_text(path: tuple[str, ...]) -> str:
    """Return the text of which ``path_of`` makes the path."""
    return ".".join(step.replace(".", "\\.") for step in path)


def several_places(paths: list[tuple[str, ...]]) -> Unreadable:
    """Return the error about records in several places."""
    texts = [path_text(path) for path in paths]
    return Unreadable(
        f"The records can be in several places of the document: {', '.join(texts[:8])}.",
        hint=f"Say where they are, for instance records_at={texts[0]}.",
        line=1,
    )


def is_record(value: Any, dataset: Dataset) -> bool:
    """Return whether a value is an object with an id."""
    return isinstance(value, dict) and any(loose_form(key) in _id_forms(dataset) for key in value)


def envelope_of(value: Any) -> str:
    """Return the key under which an object has the record itself, for the envelopes that are known; else nothing.

    They are Elasticsearch's hits, GeoJSON's features, the edges of GraphQL (Relay) and the rows of CouchDB.
    """
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("_source"), dict) and ("_id" in value or "_index" in value):
        return "_source"
    if value.get("type") == "Feature" and "properties" in value:
        return "properties"
    if isinstance(value.get("node"), dict) and value.keys() <= {"node", "cursor", "__typename"}:
        return "node"
    if isinstance(value.get("doc"), dict) and value.keys() <= {"id", "key", "value", "doc", "rev"}:
        return "doc"
    return ""


def id_in(value: dict[str, Any], dataset: Dataset) -> str | None:
    """Return the key of an object that has its id."""
    return next((key for key in value if loose_form(key) in _id_forms(dataset)), None)


def _id_forms(dataset: Dataset) -> frozenset[str]:
    names = [dataset.key, *dataset.mapping.aliases.get(dataset.key, ())]
    names += [name for name, column in dataset.asked if column == dataset.key]
    return frozenset(map(loose_form, names))


def _is_action(value: dict[str, Any]) -> bool:
    if len(value) != 1:
        return False
    ((key, said),) = value.items()
    return key in _BULK_ACTIONS and isinstance(said, dict) and all(name.startswith("_") or name == "routing" for name in said)


def _places(value: Any, path: tuple[str, ...], dataset: Dataset) -> Iterator[Layout]:
    """Yield where records seem to be: lists and keyed objects of them, below objects only."""
    if isinstance(value, list):
        if any(is_record(one, dataset) or envelope_of(one) for one in value):
            yield Layout(path)
        elif is_table(value) and are_names(value[0], dataset):
            yield Layout(path, is_table=True)
    elif not isinstance(value, dict) or len(path) > _DEPTH:
        return
    elif not path and (envelope := envelope_of(value)):
        yield Layout(envelope=envelope)
    elif _is_keyed(value, dataset):
        yield Layout(path, is_keyed=True)
    elif _is_numbered(value, dataset):
        yield Layout(path, is_keyed=True, is_numbered=True)
    elif split := _split_table(value, dataset):
        yield Layout((*path, split), is_table=True, names=tuple(value["columns"]))
    elif "majorDimension" in value and is_table(table := value.get("values", [])) and are_names(table[0], dataset):
        yield Layout((*path, "values"), is_table=True, pads=True)
    else:
        for key, one in value.items():
            if key != dataset.shape.children:
                yield from _places(one, (*path, key), dataset)


def _split_table(value: dict[str, Any], dataset: Dataset) -> str:
    """Return the key of the rows of a data frame that pandas wrote with orient="split": the names come before them."""
    keys = [*value]
    if "columns" not in value or not are_names(value["columns"], dataset):
        return ""
    return next((key for key in keys[keys.index("columns") + 1 :] if key in ("data", "rows") and is_table(value[key])), "")


def _is_numbered(value: dict[str, Any], dataset: Dataset) -> bool:
    """Return whether the keys of an object only number its records, from 0 or 1, as the index of a data frame does."""
    if len(value) < 2 or not all(is_record(one, dataset) for one in value.values()):
        return False
    return any([*value] == [str(number) for number in range(first, first + len(value))] for first in (0, 1))


def _is_keyed(value: dict[str, Any], dataset: Dataset) -> bool:
    """Return whether the keys of an object are the ids of its values: these are objects with a parent, or with the same id."""
    if not value or not all(isinstance(one, dict) for one in value.values()):
        return False
    ids = {key: id_in(one, dataset) for key, one in value.items()}
    own = [str(value[key][name]) == key for key, name in ids.items() if name is not None]
    parents = {
        *PARENT_FORMS,
        loose_form(dataset.parent),
        *(loose_form(name) for name, to in dataset.asked if to == dataset.parent),
    }
    has_parents = any(loose_form(name) in parents for one in value.values() for name in one)
    return all(own) and (bool(own) or has_parents)


def partial_values(opening: str) -> list[Any]:
    """Return the values at the beginning of a JSON text that may end anywhere; leniently, since it is parsed later."""
    values: list[Any] = []
    stack: list[Any] = [values]
    keys: list[str | None] = [None]
    for found in _TOKENS.finditer(opening):
        token = found[0]
        if token == '"':
            break
        if token in ("]", "}"):
            if len(stack) == 1:
                break
            stack.pop()
            keys.pop()
        elif token == ",":
            keys[-1] = None
        elif token != ":":
            value = _token_value(token)
            _put(value, stack[-1], keys)
            if isinstance(value, dict | list):
                stack.append(value)
                keys.append(None)
    return values


def _token_value(token: str) -> Any:
    if token in ("{", "["):
        return {} if token == "{" else []
    if token[0] != '"':
        return None if token == "null" else token
    try:
        return json.loads(token, strict=False)
    except ValueError:
        return token


def _put(value: Any, into: Any, keys: list[str | None]) -> None:
    if isinstance(into, list):
        into.append(value)
    elif keys[-1] is None:
        keys[-1] = str(value)
    else:
        into[keys[-1]] = value
        keys[-1] = None
