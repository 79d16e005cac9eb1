"""The mask of personal data: what is shown in place of a value, and where the clear values are kept (docs/security.md).

Everything that is stored for people is stored masked. The clear values are in files of their own below UNMASKED, and in columns
of the ledger of their own, which are read only for a key that may unmask. So an outlet that knows nothing of this shows masks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

MASK = "•••"
"""The same for every value, so that nothing follows from it. Null stays null."""

UNMASKED = "unmasked/"
"""The folder of the clear files, below the prefix of an import's report or results, or of an audit."""

PERSONAL = "personal"
"""The key in ``reading`` that names the columns that were masked when an import's or an audit's findings were stored."""


def masked(value: Any) -> Any:
    """Return the mask; None for None."""
    return None if value is None else MASK


def masked_record(record: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Return the record with the values of these columns masked."""
    return {name: masked(value) if name in columns else value for name, value in record.items()}


DETAILS = ". The details may have personal data and are masked."


def masked_text(code: str) -> str:
    """Return what is said of a finding or a failure whose own text may quote a value."""
    return f"{code.replace('_', ' ').capitalize()}{DETAILS}"


def masked_text_sql(code: str) -> str:
    """Return the same as SQL, of an expression for the code."""
    return f"upper(left({code}, 1)) || replace(substr({code}, 2), '_', ' ') || '{DETAILS}'"


def is_personal(reading: Mapping[str, Any]) -> bool:
    """Return whether what is stored of an import or an audit was masked, so that there are clear files too."""
    return bool(reading.get(PERSONAL))
