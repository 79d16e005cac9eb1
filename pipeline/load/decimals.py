"""Numbers of a column ``numeric`` without a precision, as text without the zeros that staging adds.

Such a column is staged as ``decimal(38, 18)`` (pipeline/staging/types.py), and PostgreSQL keeps every digit that COPY gives to
a ``numeric``: without this, 39.80 would be shown as 39.800000000000000000 wherever the table is read.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

STAGED = pa.decimal128(38, 18)
"""What ``numeric`` is staged as; also ``numeric(38, 18)``, to which PostgreSQL adds its zeros again."""

_ZEROS = r"^(-?[0-9]+)(?:\.0+|(\.[0-9]*[1-9])0+)(E-[0-9]+)?$"
_ZERO = r"^0E-[0-9]+$"  # so Arrow spells 0 with 18 digits after the point


def without_zeros(records: pa.Table) -> pa.Table:
    """Return the table with each column of the type ``STAGED`` as text: 39.8, and 100 without a point."""
    for place, field in enumerate(records.schema):
        if field.type == STAGED:
            records = records.set_column(place, field.name, _trimmed(records.column(place)))
    return records


def trimmed(value: pa.Scalar) -> Any:
    """Return one value of the type ``STAGED`` as such text; None for none."""
    return _trimmed(pa.array([value.as_py()], STAGED))[0].as_py()


def _trimmed(numbers: pa.Array | pa.ChunkedArray) -> Any:
    texts = pc.replace_substring_regex(numbers.cast(pa.string()), _ZEROS, r"\1\2\3")
    return pc.replace_substring_regex(texts, _ZERO, "0")
