"""Explain what is wrong with a request: what a value must be, which names are known, and which was probably meant.

The models in web/models/ find the error; pydantic's own messages are for programmers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.routing import Map, Rule

from pipeline.display import counted, meant, shortened, visible

VALUE_CHARACTERS = 60
NEAR = 0.6
"""Similarity from which a name is suggested for another; 1 means equal."""

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


def explain(error: ValidationError, models: Iterable[type[BaseModel]]) -> list[dict[str, str]]:
    """Return each error as pointer, detail and code. ``models``: among which the failed one is found by its name."""
    model = next((known for known in models if known.__name__ == error.title), None)
    return [
        {"pointer": "/".join(map(str, one["loc"])), "detail": _sentence(one, model), "code": one["type"]}
        for one in error.errors()
    ]


def _sentence(error: ErrorDetails, model: type[BaseModel] | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    name = ".".join(map(str, error["loc"])) or "The body"
    if kind == "extra_forbidden":
        return _unknown(name, _known(model))
    if kind == "missing":
        return f"{name} is missing." if error["loc"] else "The body is missing."
    if kind in ("json_invalid", "json_type"):
        return f"{name} is not valid JSON: {context.get('error', 'it cannot be read')}."
    if kind in ("model_type", "model_attributes_type", "dataclass_type"):
        return f"{name} must be a JSON object, sent with the header Content-Type: application/json."
    if kind == "value_error":
        return f"{name}: {context.get('error') or error['msg']}".removesuffix(".") + "."
    return f"{name} {_must_be(kind, context, error)}, not {_shown(error['input'])}.{_nearest(kind, context, error)}"


def _must_be(kind: str, context: Mapping[str, Any], error: ErrorDetails) -> str:
    """Return what a value must be. An error type that is not known here keeps pydantic's message."""
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}"
    if kind in ("enum", "literal_error"):
        return f"must be one of {', '.join(_choices(context))}"
    bounds = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt", "less_than": "lt"}
    if kind in bounds:
        words = {"ge": "at least", "le": "at most", "gt": "more than", "lt": "less than"}[bounds[kind]]
        limit = context[bounds[kind]]
        return f"must be {words} {limit:,g}" if isinstance(limit, float) else f"must be {words} {limit:,}"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    if kind in ("string_too_short", "string_too_long"):
        return f"must have {_size(kind, context, 'character')}"
    if kind in ("too_short", "too_long"):
        return f"must have {_size(kind, context, 'item')}"
    return f"is invalid ({error['msg'].removesuffix('.')})"


def _size(kind: str, context: Mapping[str, Any], thing: str) -> str:
    if kind.endswith("short"):
        return f"at least {counted(context['min_length'], thing)}"
    return f"at most {counted(context['max_length'], thing)}"


def _nearest(kind: str, context: Mapping[str, Any], error: ErrorDetails) -> str:
    """Return which of the allowed values was probably meant, as a sentence, or an empty text."""
    return meant(str(error["input"]), _choices(context)) if kind in ("enum", "literal_error") else ""


def _choices(context: Mapping[str, Any]) -> list[str]:
    """Return the allowed values as a list: ``'csv', 'json' or 'parquet'``; a tab by its name only."""
    return [found for found in _QUOTED.findall(str(context.get("expected", ""))) if found.isprintable() and "\\" not in found]


def _unknown(name: str, known: Sequence[str]) -> str:
    said = f"Unknown parameter {_cut(name)}."
    return f"{said}{meant(name, known)} Known: {', '.join(known)}." if known else f"{said} None is allowed here."


def _known(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _shown(value: Any) -> str:
    """Return a value as it was sent, shortened."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else _cut(repr(value))


def _cut(text: str) -> str:
    return shortened(visible(text), VALUE_CHARACTERS)


# --- addresses ---


def near_address(path: str, routes: Map, *, below: tuple[str, ...] = ("/",)) -> str:
    """Return `` Did you mean /v1/imports?`` with the most similar address, or an empty text if none is similar."""
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
    """Return the similarity of an address and a route, 0 if too low, and the address on that route."""
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
