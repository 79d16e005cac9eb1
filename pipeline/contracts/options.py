"""Options of an upload: what a request may ask for, and the defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class OnError(StrEnum):
    """How to treat a file in which some records have errors."""

    REJECT = "reject"  # import nothing
    QUARANTINE = "quarantine"  # import the others; keep these, and all their descendants, in quarantine


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read a file. None or empty: detect it, or as the dataset's suite says (its ``meta``)."""

    delimiter: str | None = None  # of delimited text: one or more characters; None: detect it
    quote: str | None = None  # the quote character, or QUOTE_NONE; None: the double quote
    encoding: str | None = None  # of a text, a name that Python knows; None: UTF-8, or UTF-16 by its byte order mark
    header_row: int | None = None  # line of a text, or row of a sheet, that has the columns' names, from 1
    sheet: str | None = None  # of a workbook: its name
    records_at: str | None = None  # where a JSON document has its records: keys separated by dots, such as data.items
    merged: str | None = None  # cells of a workbook: "fill" writes the value of merged cells into each of them
    repeated_columns: str | None = None  # "number": Labels, Labels 2, ...; "list": one column with a JSON list
    no_parent_values: tuple[str, ...] = ()  # values of the parent column that mean that a record has no parent
    parent_by: str | None = None  # column whose value, or path of values ("name > name"), the parent column gives, not an ID
    shape: Mapping[str, Any] = field(default_factory=dict)  # how the hierarchy is written, as meta.shape of a suite
    clean: Mapping[str, Any] = field(default_factory=dict)  # rules that change values, as meta.clean of a suite
    without: tuple[str, ...] = ()  # columns of the file to skip: those that a result file adds
    mapping: Mapping[str, str] = field(default_factory=dict)  # column of the file -> column of the dataset; empty: skip it
    patch: str | None = None  # key of the correction to apply (contracts/patches.py); only a retry sets it

    def reading_json(self) -> dict[str, object]:
        """Return what was asked for about reading, without what was left open."""
        return _asked({name: getattr(self, name) for name in READ_NAMES})


READ_NAMES = tuple(one.name for one in fields(ReadOptions))
"""The names of the options of reading; an upload has others too."""

FILE_NAMES = ("delimiter", "quote", "encoding", "header_row", "sheet", "records_at", "merged", "repeated_columns")
"""Those that say how a file is written; a result file, which we write, needs none of them but the delimiter."""

QUOTE_NONE = "none"
"""The option ``quote`` of a text in which quotes are data."""


DETECTED = ReadOptions()
"""Everything is detected."""


@dataclass(frozen=True)
class Options(ReadOptions):
    """What an upload asks for. None: as the dataset's suite says (its ``meta``), or else the default."""

    dry_run: bool = False
    on_error: OnError | None = None
    max_errors: int | None = None  # in quarantine; reject the file if there are more
    max_error_ratio: float | None = None  # the same as a fraction of the file's records, from 0 to 1
    force: bool = False  # import it even if the same content was imported before
    notify: tuple[str, ...] = ()  # recipients beside those that are notified of every import

    def to_json(self) -> dict[str, object]:
        """Return what was asked for, without what was left open."""
        return _asked(vars(self))

    @classmethod
    def from_json(cls, asked: Mapping[str, Any]) -> Options:
        """Return the options of what to_json returned."""
        on_error, ratio = asked.get("on_error"), asked.get("max_error_ratio")
        lists = {name: tuple(asked.get(name, ())) for name in ("no_parent_values", "without", "notify")}
        ratio = None if ratio is None else float(ratio)  # JSON may have it as an integer
        return cls(**{**asked, **lists, "on_error": OnError(on_error) if on_error else None, "max_error_ratio": ratio})


def _asked(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values that are not left open, as JSON has them."""
    asked = {name: value for name, value in values.items() if not (value is None or value is False or value in ((), {}))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}


DELIMITER_NAMES: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Delimiters by name: a tab is hard to write in a request, and hard to see."""

DELIMITERS = tuple(DELIMITER_NAMES.values())


def option_text(value: object) -> str:
    """Return the text of an option's value in a query, which its parser (option_texts.py) makes the value of again."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | tuple) else str(value)
