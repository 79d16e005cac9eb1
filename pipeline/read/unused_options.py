"""Warn of options of reading that the files of an upload have no use for, such as a sheet of a CSV file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeline.display import FORMAT_TEXTS
from pipeline.read.raw_tables import RawTables

_TEXTS = ("csv", "json", "ndjson")
_USED_BY: Mapping[str, tuple[str, ...]] = {
    "delimiter": ("csv",),
    "quote": ("csv",),
    "encoding": _TEXTS,
    "header_row": ("csv", "xlsx"),
    "sheet": ("xlsx",),
    "merged": ("xlsx",),
    "records_at": ("json", "ndjson"),
}
_MEANT = {"records_at": "JSON", "sheet": "workbooks", "merged": "workbooks", "encoding": "texts"}


def warn_of_unused(forms: Collection[str], staging: RawTables) -> None:
    """Add a warning for each option that was given and that no format among ``forms`` uses."""
    for option, users in _USED_BY.items():
        if getattr(staging.options, option) is None or not {*forms}.isdisjoint(users):
            continue
        kinds = ", ".join(sorted(FORMAT_TEXTS.get(form, form) for form in forms))
        others = _MEANT.get(option) or " and ".join(FORMAT_TEXTS[form] for form in users)
        message = f"The option {option} was not used: it is for {others}, and this is {kinds}."
        staging.add_finding("unused_option", message, severity="warning", hint=f"Leave {option} out, or check the file.")
