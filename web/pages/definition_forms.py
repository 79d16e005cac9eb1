"""Read and show the form of a dataset's definition: one line a column, its fields numbered (``type-3``).

A column that is not used is left out of the definition. What the form does not show (other rules, other meta) is carried from
the definition that it changes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from web.http.problems import Problem, refuse_parameters
from web.models.definitions import DefinitionJson

TYPES = ("text", "integer", "bigint", "numeric", "double precision", "boolean", "date", "timestamp", "timestamptz", "jsonb")
"""The types that a form offers, beside the one that a column has."""

RULES = {"required": "Required", "unique": "Unique", "values": "Allowed values", "max_length": "Longest"}
"""The rules of a column, and their labels."""

COLUMNS_MAX = 1000
_TEXTS = ("text", "varchar", "char")

Form = MultiDict[str, str]


def asked_in(form: Form, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a form says, right or wrong, in the shape of a definition: what is shown again beside a message."""
    old = {column["name"]: column for column in (kept or {}).get("columns", ())}
    columns = {number: _column(form, number, old) for number in _numbers(form) if _is_used(form, number)}
    return {
        **{"shape": {}, "clean": {}},
        **{name: value for name, value in (kept or {}).items() if name not in ("columns", "key", "parent")},
        **({"name": form["name"].strip()} if "name" in form else {}),
        "title": " ".join(form.get("title", "").split()),
        "key": _named(columns, form["key"]) if "key" in form else (kept or {}).get("key", ""),
        "parent": (_named(columns, form["parent"]) if "parent" in form else (kept or {}).get("parent")) or None,
        "columns": [*columns.values()],
    }


def definition_in(form: Form, kept: Mapping[str, Any] | None = None) -> DefinitionJson:
    """Return the definition in a form. ``kept``: the one that it changes, whose parts that have no field stay.

    Raises Problem, which names the field that is wrong.
    """
    said = asked_in(form, kept)
    if len(said["columns"]) > COLUMNS_MAX:
        raise Problem("invalid_parameter", f"A dataset has at most {COLUMNS_MAX:,} columns.")
    said["columns"] = [{**column, "max_length": _number(column["max_length"], column["name"])} for column in said["columns"]]
    said |= {part: _object(form, part) for part in ("shape", "clean") if part in form}
    names = Counter(column["name"] for column in said["columns"])
    if twice := next((name for name, count in names.items() if count > 1), ""):
        raise Problem("invalid_parameter", f"Two columns are called {twice}. Give one of them another name, or do not use it.")
    if not said["key"]:
        raise Problem("invalid_parameter", "Choose the column with the IDs, and leave it switched on.")
    if said["key"] == said["parent"]:
        slip = "One column cannot have both the IDs and the parents. Choose another one, or no parent."
        raise Problem("invalid_parameter", slip)
    try:
        return DefinitionJson.model_validate(said)
    except ValidationError as error:
        refuse_parameters(error)


def headers(form: Form) -> list[str]:
    """Return the file's names of all columns in a form."""
    return [form[f"from-{number}"] for number in _numbers(form) if form.get(f"from-{number}")]


def without(form: Form) -> list[str]:
    """Return the file's names of the columns that are not used."""
    return [form[f"from-{number}"] for number in _numbers(form) if not _is_used(form, number) and form.get(f"from-{number}")]


def _numbers(form: Form) -> list[int]:
    """Return the numbers of the columns in a form, in order."""
    return sorted({int(name[5:]) for name in form if re.fullmatch("name-[0-9]{1,5}", name)})


def _is_used(form: Form, number: int) -> bool:
    """Return whether a column is to be in the dataset; a line for another column is not if its name is empty."""
    return f"use-{number}" in form or (f"added-{number}" in form and bool(form.get(f"name-{number}", "").strip()))


def _column(form: Form, number: int, old: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    name = form.get(f"name-{number}", "").strip()
    rest = dict(old.get(form.get(f"was-{number}", ""), {}))
    kind = form.get(f"type-{number}", "text")
    is_text = kind.startswith(_TEXTS)  # only texts have allowed values and a length: another type's are dropped
    return {
        **rest,
        "name": name,
        "headers": form.getlist(f"header-{number}") if f"header-{number}" in form else rest.get("headers", []),
        "type": kind,
        "required": f"required-{number}" in form,
        "unique": f"unique-{number}" in form,
        "values": _values(form.get(f"values-{number}", "")) if is_text else None,
        "max_length": form.get(f"max_length-{number}", "").strip() if is_text else "",
        "format": form.get(f"format-{number}", "").strip() or None,
        "warn": [rule for rule in form.getlist(f"warn-{number}") if rule in RULES],
        "search": is_text and f"search-{number}" in form,
    }


def _named(columns: Mapping[int, Mapping[str, Any]], number: str) -> str:
    """Return the name of the column with that number; empty if it is none of those that are used."""
    return str(columns[int(number)]["name"]) if re.fullmatch("[0-9]{1,5}", number) and int(number) in columns else ""


def _values(text: str) -> list[str] | None:
    """Return the allowed values of a text, one a line; None for no limit."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    found = [*dict.fromkeys(line for line in lines if line.strip())]
    return found or None


def _number(text: str, column: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise Problem("invalid_parameter", f"{column}: {text!r} is not a number of characters. Enter 1 or more, or nothing.")
    return int(text)


def _object(form: Form, part: str) -> dict[str, Any]:
    text = form.get(part, "").strip()
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Problem(
            "invalid_parameter", f'{part.capitalize()} is not a JSON object. Write it as {{"trim": true}}, or nothing.'
        )
    return found


def unused(form: Form) -> list[dict[str, Any]]:
    """Return the columns of the file that a form leaves out, so that it can be shown again with them."""
    left = [number for number in _numbers(form) if not _is_used(form, number) and form.get(f"from-{number}")]
    return [{"name": form[f"name-{number}"], "header": form[f"from-{number}"]} for number in left]


def lines(
    definition: Mapping[str, Any], seen: list[dict[str, Any]], left_out: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Return the lines of a form: each column of the definition with what was seen of it, then those that are not used."""
    by_name = {column["name"]: column for column in seen}
    defined = [_line(column, by_name.get(column["name"], {}), is_used=True) for column in definition["columns"]]
    return [*defined, *(_line({"name": one["name"]}, {"header": one["header"]}, is_used=False) for one in left_out)]


def _line(column: Mapping[str, Any], seen: Mapping[str, Any], *, is_used: bool) -> dict[str, Any]:
    fitting = seen.get("types") or []
    kind = str(column.get("type", "text"))
    offered = [*dict.fromkeys([kind, *fitting, *TYPES])]
    return {
        **{"headers": [], "type": "text", "values": None, "max_length": None, "format": None, "warn": [], "search": False},
        **column,
        "used": is_used,
        "header": seen.get("header", ""),
        "seen": seen,
        "offered": [(one, not fitting or one in fitting) for one in offered],
        "values_text": "\n".join(column.get("values") or ()),
        "refuses": seen.get("refuses", {}),
    }
