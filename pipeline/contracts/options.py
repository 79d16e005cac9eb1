"""Options of an upload: what a request may ask for, and the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class OnError(StrEnum):
    """What becomes of a file in which some records are wrong."""

    REJECT = "reject"  # nothing is written
    QUARANTINE = "quarantine"  # the good records are loaded; the bad ones, and all that hangs below them, are stored


@dataclass(frozen=True)
class Options:
    """What an upload asks for. None: the dataset's suite says (its ``meta``), or else the default."""

    dry_run: bool = False
    on_error: OnError | None = None
    max_errors: int | None = None  # quarantine at most so many records, else reject the file
    max_error_ratio: float | None = None  # the same as a share of the file's records, from 0 to 1
    delimiter: str | None = None  # of a delimited text: one of DELIMITERS; None: detected, and shown
    force: bool = False  # load it even if this very content was loaded before
    without: tuple[str, ...] = ()  # columns of the file to leave out: those that a results file adds
    mapping: Mapping[str, str] = field(default_factory=dict)  # a column of the file -> the dataset's; empty: left out
    notify: tuple[str, ...] = ()  # addresses to tell of the end, beside those that are told of every one's

    def to_json(self) -> dict[str, object]:
        """What was asked for, without what was left open."""
        asked = {
            name: value for name, value in vars(self).items() if not (value is None or value is False or value in ((), {}))
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}

    @classmethod
    def from_json(cls, asked: Mapping[str, Any]) -> Options:
        """Read what to_json gave."""
        on_error, ratio = asked.get("on_error"), asked.get("max_error_ratio")
        lists = {name: tuple(asked.get(name, ())) for name in ("without", "notify")}
        ratio = None if ratio is None else float(ratio)  # as the ledger has it, it knows its spelling too
        return cls(**{**asked, **lists, "on_error": OnError(on_error) if on_error else None, "max_error_ratio": ratio})


DELIMITER_NAMES: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What may stand between the values of a delimited text, by name: a character alone is hard to write or to see."""

DELIMITERS = tuple(DELIMITER_NAMES.values())
