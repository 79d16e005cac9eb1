"""What a person has chosen for a file so far, as the fields of the upload page's forms: dataset, options and mapping."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from pipeline.option_texts import PARSERS
from web.models.uploads import UploadQuery

KEEP, SKIP, TO = "keep", "skip", "to:"
"""Values of a column's select: as it is read, left out, or a column of the dataset, whose name follows."""

_UPLOAD = tuple(name for name in UploadQuery.model_fields if name not in ("filename", "mapping"))


@dataclass(frozen=True)
class Choices:
    """``options``: those of the upload that are set, as texts.

    ``columns``: for each column of the file what it becomes (empty: left out); ``mapping``: those of them that differ from what
    an import would choose by itself.
    """

    dataset: str = ""
    options: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    mapping: dict[str, str] = field(default_factory=dict)

    @property
    def reading(self) -> dict[str, str]:
        """Return the options of reading among them."""
        return {name: value for name, value in self.options.items() if name in PARSERS}

    @property
    def settled(self) -> dict[str, str]:
        """Return what the columns become, without those that would become the same one: a file cannot be read like that."""
        wanted = Counter(filter(None, self.columns.values()))
        return {name: one for name, one in self.columns.items() if wanted[one] < 2}

    @property
    def upload(self) -> dict[str, str]:
        """Return the fields of an upload with these choices."""
        return {**self.options, **({"mapping": json.dumps(self.mapping)} if self.mapping else {})}

    @property
    def as_query(self) -> dict[str, str]:
        """Return the dataset and the options as the query of an address."""
        return {**self.options, **({"dataset": self.dataset} if self.dataset else {})}


def of_fields(fields: Mapping[str, str]) -> Choices:
    """Return the choices in plain fields, or in a query; an empty field is none, and neither is a mapping that is broken.

    A delimiter may be a space or a tab, so it stays as it is.
    """
    given = {name: fields.get(name, "") for name in _UPLOAD}
    options = {name: text for name, value in given.items() if (text := value if name == "delimiter" else value.strip())}
    columns = _object(fields.get("mapping", ""))
    return Choices(fields.get("dataset", ""), options, {name: one for name, one in columns.items() if isinstance(one, str)})


def of_form(form: MultiDict[str, str]) -> Choices:
    """Return the choices in the form of a looked-at file, changed by the button that was pressed.

    Columns have three fields each: ``column``, ``auto`` (what it is read as) and ``becomes``. A button ``set`` has
    ``option=value``.
    """
    chosen = of_fields({name: form.get(name, "") for name in (*_UPLOAD, "dataset")})
    fields = [*zip(form.getlist("column"), form.getlist("auto"), form.getlist("becomes"), strict=False)]
    columns = {name: said for name, _, becomes in fields if (said := _said(becomes)) is not None}
    mapping = {name: columns[name] for name, auto, _ in fields if name in columns and (columns[name] or None) != (auto or "")}
    return with_setting(replace(chosen, columns=columns, mapping=mapping), form.get("set", ""))


def _said(becomes: str) -> str | None:
    """Return what a select says that a column becomes; None: as it is read."""
    return "" if becomes == SKIP else becomes.removeprefix(TO) if becomes.startswith(TO) else None


def with_setting(chosen: Choices, setting: str) -> Choices:
    """Return the choices with one set to another value: ``header_row=3``; an empty value unsets it. Unknown ones stay out.

    Read in another way the file may have other columns, so what was said of those before is forgotten.
    """
    name, _, value = setting.partition("=")
    if name == "dataset":
        return Choices(value, chosen.options)
    if name == "mapping":
        added = {column: one for column, one in _object(value).items() if isinstance(one, str)}
        return replace(chosen, columns={**chosen.columns, **added}, mapping={**chosen.mapping, **added})
    if name not in _UPLOAD:
        return chosen
    others = {key: one for key, one in chosen.options.items() if key != name}
    value = _merged(chosen.options.get(name, ""), value) if name == "clean" and value else value
    return Choices(chosen.dataset, {**others, **({name: value} if value else {})})


def _merged(before: str, added: str) -> str:
    """Return two JSON objects as one; the later rules win."""
    return json.dumps(_joined(_object(before), _object(added)))


def _joined(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _joined(old.get(name), value) for name, value in new.items()}}
    return new


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object; an empty one of a text that is none."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
