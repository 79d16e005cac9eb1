"""Compare names of columns loosely: without regard to case, spaces, hyphens and underscores."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_JOINTS = re.compile("[\\s_\\-\u00ad\u200b-\u200f\u2010-\u2015\u2060\ufeff]+")


def loose_form(name: str) -> str:
    """Return a name as it is compared loosely: ``Parent ID``, ``parent-id`` and ``PARENT_ID`` are the same."""
    return _JOINTS.sub("", unicodedata.normalize("NFKC", name)).casefold()


def columns_by_form(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the column of each loose form, for pairs of a name and its column; without the forms of several columns."""
    found: dict[str, set[str]] = {}
    for name, column in named:
        found.setdefault(loose_form(name), set()).add(column)
    return {form: columns.pop() for form, columns in found.items() if form and len(columns) == 1}


def folded(name: str) -> str:
    """Return a column's name as aliases and renames are compared: without case and outer space."""
    return name.strip().casefold()
