"""Options of an upload: what a request may ask for, and the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class OnError(StrEnum):
    """How to treat a file in which some records have errors."""

    REJECT = "reject"  # import nothing
    QUARANTINE = "quarantine"  # import the others; keep these, and all their descendants, in quarantine


@dataclass(frozen=True)
class Options:
    """What an upload asks for. None: as the dataset's suite says (its ``meta``), or else the default."""

    dry_run: bool = False
    on_error: OnError | None = None
    max_errors: int | None = None  # in quarantine; reject the file if there are more
    max_error_ratio: float | None = None  # the same as a fraction of the file's records, from 0 to 1
    delimiter: str | None = None  # of delimited text: one of DELIMITERS; None: detect it
    force: bool = False  # import it even if the same content was imported before
    without: tuple[str, ...] = ()  # columns of the file to skip: those that a result file adds
    mapping: Mapping[str, str] = field(default_factory=dict)  # column of the file -> column of the dataset; empty: skip it
    notify: tuple[str, ...] = ()  # recipients beside those that are notified of every import

    def to_json(self) -> dict[str, object]:
        """Return what was asked for, without what was left open."""
        asked = {
            name: value for name, value in vars(self).items() if not (value is None or value is False or value in ((), {}))
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}

    @classmethod
    def from_json(cls, asked: Mapping[str, Any]) -> Options:
        """Return the options of what to_json returned."""
        on_error, ratio = asked.get("on_error"), asked.get("max_error_ratio")
        lists = {name: tuple(asked.get(name, ())) for name in ("without", "notify")}
        ratio = None if ratio is None else float(ratio)  # JSON may have it as an integer
        return cls(**{**asked, **lists, "on_error": OnError(on_error) if on_error else None, "max_error_ratio": ratio})


DELIMITER_NAMES: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Delimiters by name: a tab is hard to write in a request, and hard to see."""

DELIMITERS = tuple(DELIMITER_NAMES.values())
