"""Plain words for what is wrong with a request: what is known, what was probably meant, what a value has to be.

The models (web/models/imports.py) find the fault; the library's own sentences are for programmers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.routing import Map, Rule

from pipeline.display import counted, meant, visible

VALUE_CHARACTERS = 60
NEAR = 0.6
"""How alike two names are of which one may be meant by the other; 1 is the same."""

_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_WANTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of less than 4,300 digits",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_sub_type": "a text",
    "string_unicode": "a text in UTF-8",
    "list_type": "a list",
    "dict_type": "an object of names and values",
    "mapping_type": "an object of names and values",
}


def explained(error: ValidationError, models: Iterable[type[BaseModel]]) -> list[dict[str, str]]:
    """Each fault as pointer, detail and code. ``models``: where the one that found it is looked for, by its name."""
    model = next((one for one in models if one.__name__ == error.title), None)
    return [
        {"pointer": "/".join(map(str, fault["loc"])), "detail": _sentence(fault, model), "code": fault["type"]}
        for fault in error.errors()
    ]


def _sentence(fault: ErrorDetails, model: type[BaseModel] | None) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    name = ".".join(map(str, fault["loc"])) or "The body"
    if kind == "extra_forbidden":
        return _unknown(name, _known(model))
    if kind == "missing":
        return f"{name} is missing." if fault["loc"] else "The body is missing."
    if kind in ("json_invalid", "json_type"):
        return f"{name} is no JSON: {context.get('error', 'it cannot be read')}."
    if kind in ("model_type", "model_attributes_type", "dataclass_type"):
        return f"{name} has to be a JSON object with the header Content-Type: application/json."
    if kind == "value_error":
        return f"{name}: {context.get('error') or fault['msg']}".removesuffix(".") + "."
    return f"{name} {_has_to_be(kind, context, fault)}, not {_shown(fault['input'])}.{_nearest(kind, context, fault)}"


def _has_to_be(kind: str, context: Mapping[str, Any], fault: ErrorDetails) -> str:
    """What a value has to be. A kind of fault that is not known here keeps the library's words."""
    if kind in _WANTED:
        return f"has to be {_WANTED[kind]}"
    if kind in ("enum", "literal_error"):
        return f"is one of {', '.join(_choices(context))}"
    bounds = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt", "less_than": "lt"}
    if kind in bounds:
        words = {"ge": "at least", "le": "at most", "gt": "more than", "lt": "less than"}[bounds[kind]]
        limit = context[bounds[kind]]
        return f"has to be {words} {limit:,g}" if isinstance(limit, float) else f"has to be {words} {limit:,}"
    if kind == "string_pattern_mismatch":
        return f"has to look like {context['pattern']}"
    if kind in ("string_too_short", "string_too_long"):
        return f"has {_size(kind, context, 'character')}"
    if kind in ("too_short", "too_long"):
        return f"has {_size(kind, context, 'item')}"
    return f"cannot be used ({fault['msg'].removesuffix('.')})"


def _size(kind: str, context: Mapping[str, Any], thing: str) -> str:
    if kind.endswith("short"):
        return f"at least {counted(context['min_length'], thing)}"
    return f"at most {counted(context['max_length'], thing)}"


def _nearest(kind: str, context: Mapping[str, Any], fault: ErrorDetails) -> str:
    """Which of several values was probably meant."""
    return meant(str(fault["input"]), _choices(context)) if kind in ("enum", "literal_error") else ""


def _choices(context: Mapping[str, Any]) -> list[str]:
    """``'csv', 'json' or 'parquet'`` as a list; a tab by its name."""
    return [found for found in _QUOTED.findall(str(context.get("expected", ""))) if found.isprintable() and "\\" not in found]


def _unknown(name: str, known: Sequence[str]) -> str:
    said = f"There is no parameter {_cut(name)}."
    return f"{said}{meant(name, known)} Known: {', '.join(known)}." if known else f"{said} This takes none."


def _known(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _shown(value: Any) -> str:
    """A value as it was sent, as far as that helps."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else _cut(repr(value))


def _cut(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= VALUE_CHARACTERS else f"{shown[:VALUE_CHARACTERS]}…"


# --- addresses ---


def near_address(path: str, routes: Map, *, below: tuple[str, ...] = ("/",)) -> str:
    """`` Did you mean /v1/imports?``: the address that is most like one where nothing is, or nothing."""
    wanted = [piece for piece in path.split("/") if piece][:20]
    scored = [
        (score, address)
        for rule in routes.iter_rules()
        if rule.rule.startswith(below) and not rule.rule.startswith("/static")
        for score, address in [_likeness(wanted, rule)]
        if score > NEAR
    ]
    return f" Did you mean {max(scored)[1]}?" if scored else ""


def _likeness(wanted: Sequence[str], rule: Rule) -> tuple[float, str]:
    """How alike an address and a route are, and the address that it would be there; 0 if they are not."""
    pieces = [piece for piece in rule.rule.split("/") if piece]
    if len(pieces) != len(wanted) or not wanted:
        return 0.0, ""
    scores = []
    for asked, piece in zip(wanted, pieces, strict=True):
        score = 0.99 if piece.startswith("<") else SequenceMatcher(None, asked.casefold(), piece).ratio()
        if score <= NEAR:
            return 0.0, ""
        scores.append(score)
    if all(piece.startswith("<") for piece in pieces):
        return 0.0, ""
    made = [asked if piece.startswith("<") else piece for asked, piece in zip(wanted, pieces, strict=True)]
    return sum(scores) / len(scores), "/" + "/".join(_cut(piece) for piece in made)
