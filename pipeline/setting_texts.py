"""Settings for people: each with its value in words and human units, its source, and what it does.

What a setting does is said once, in the comment of .env.example, or else in the description of its field. `bulkhead settings`
and the settings page both show this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import humanize
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from pipeline.display import masked
from pipeline.setting_sources import DEFAULT
from pipeline.setting_types import is_secret, names_of, text_of
from pipeline.settings import ROOT, Settings

EXAMPLE = ROOT / ".env.example"

NOT_SET, NOT_SHOWN = "not set", "set, not shown"


@dataclass(frozen=True)
class SettingText:
    """One setting as people read it. ``value`` and ``default`` are in words; neither contains a secret.

    ``written`` is the value as one writes it in the environment, empty for a secret.
    """

    name: str
    section: str
    value: str
    written: str
    default: str
    source: str
    file: str
    is_default: bool
    is_secret: bool
    description: str

    def to_json(self) -> dict[str, Any]:
        """Return it as one object of `bulkhead settings --json`."""
        return {
            "name": self.name,
            "section": self.section,
            "value": self.written if not self.is_secret else self.value,
            "text": self.value,
            "default": self.default,
            "source": self.source,
            "file": self.file or None,
            "is_default": self.is_default,
            "is_secret": self.is_secret,
            "description": self.description,
        }


def setting_texts(settings: Settings) -> Iterator[SettingText]:
    """Yield every setting, in the order of .env.example."""
    comments = comments_of(EXAMPLE)
    fields = type(settings).model_fields
    order = {name: number for number, name in enumerate(comments)}
    for attribute, field in sorted(fields.items(), key=lambda one: order.get(_documented(one[1], comments), len(order))):
        name = _documented(field, comments)
        section, comment = comments.get(name, ("Other", ""))
        value, origin = getattr(settings, attribute), settings.origin(attribute)
        yield SettingText(
            name=name,
            section=section,
            value=value_text(attribute, field, value),
            written="" if is_secret(field) else written(value),
            default=value_text(attribute, field, field.get_default(call_default_factory=True)),
            source=origin.kind,
            file=origin.file,
            is_default=origin.kind == DEFAULT,
            is_secret=is_secret(field),
            description=comment or field.description or "",
        )


def _documented(field: FieldInfo, comments: dict[str, tuple[str, str]]) -> str:
    """Return the name of a setting that .env.example documents, else the first of its names."""
    names = names_of(field)
    return next((name for name in names if name in comments), names[0] if names else "")


# --- what a setting does ---

_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=")
_SECTION = re.compile(r"# --- (?P<title>.+) ---")


@cache
def comments_of(example: Path) -> dict[str, tuple[str, str]]:
    """Return the section and the comment of each setting in a file like .env.example; empty if the file is not installed.

    A comment belongs to the settings in the lines directly after it.
    """
    try:
        lines = example.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, tuple[str, str]] = {}
    section, comment, is_complete = "", [], False  # type: str, list[str], bool
    for line in lines:
        if title := _SECTION.fullmatch(line):
            section, comment = title["title"], []
        elif setting := _LINE.match(line):
            found[setting["name"]] = (section, " ".join(comment))
            is_complete = True
        elif line.startswith("# "):
            comment = [line[2:]] if is_complete else [*comment, line[2:]]
            is_complete = False
        else:
            comment, is_complete = [], False
    return found


# --- its value ---


def value_text(name: str, field: FieldInfo, value: Any) -> str:
    """Return the value of the field ``name`` in words and human units; of a secret only whether it is set, or its host."""
    if isinstance(value, SecretStr):
        return NOT_SHOWN if text_of(value) else NOT_SET
    if value is None:
        return "forever" if name.startswith("keep_") else NOT_SET
    if value == "" or value == ():
        return NOT_SET
    if isinstance(value, timedelta):
        return lasting(value)
    if isinstance(value, tuple):
        return ", ".join(masked(str(one)) for one in value)
    if is_secret(field):
        return masked(str(value)) if name.endswith("_url") and "://" in str(value) else NOT_SHOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _number_text(name, value) if isinstance(value, int | float) else masked(str(value))


def _number_text(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return humanize.naturalsize(value, binary=True, format="%.4g").replace("Byte", "byte")
    if name.endswith("_seconds"):
        return lasting(timedelta(seconds=value))
    return str(value) if name == "port" or name.endswith("_port") else f"{value:,}"


def lasting(time: timedelta) -> str:
    """Return a length of time in words: ``1 day and 12 hours``, ``not at all`` for none."""
    return humanize.precisedelta(time, minimum_unit="seconds", format="%.4g") if time else "not at all"


def written(value: Any) -> str:
    """Return a value as one writes it in the environment: ``36h``, ``forever``, ``true``, ``a@example.org,b@example.org``."""
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        units = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
        unit, letter = next((unit, letter) for unit, letter in units if seconds % unit == 0)
        return f"{seconds // unit}{letter}" if seconds else "0"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, tuple) else masked(text_of(value))
