"""Read ids of a Parquet file: text and whole numbers, also those that a data frame keeps as floating-point numbers.

A column of whole numbers with a missing value becomes floating-point in pandas. Below the bound at which whole numbers lose
digits, such a column has exactly the same ids.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import Unreadable

_EXACT_BITS = {pa.float16(): 11, pa.float32(): 24, pa.float64(): 53}
_TEXT = pa.large_string()


def may_be_id(kind: pa.DataType) -> bool:
    """Return whether the values of a type can be ids, if they are whole."""
    if pa.types.is_dictionary(kind):
        return may_be_id(kind.value_type)
    text: bool = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    number: bool = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or kind in _EXACT_BITS
    return text or number or pa.types.is_null(kind) or isinstance(kind, pa.UuidType)


def has_decimals(kind: pa.DataType) -> bool:
    """Return whether a type of ids can have values that are not whole."""
    if pa.types.is_dictionary(kind):
        return has_decimals(kind.value_type)
    return kind in _EXACT_BITS or (pa.types.is_decimal(kind) and kind.scale > 0)


def whole_texts(column: pa.Array, name: str, first_row: int) -> pa.Array:
    """Return the whole numbers of a column as text; not-a-number is a missing value.

    Raises Unreadable for the first value that is not whole, or too large for all its digits to be known.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        values = column.to_pylist()
        wrong = next((n for n, value in enumerate(values) if value is not None and value != value.to_integral_value()), None)
        if wrong is not None:
            raise _not_whole(name, column.type, first_row + wrong, format(values[wrong], "f"))
        return pa.array([None if value is None else format(value.to_integral_value(), "f") for value in values], _TEXT)
    bits = _EXACT_BITS[column.type]
    numbers = column.cast(pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    is_whole = pc.and_(pc.less(pc.abs(numbers), float(1 << bits)), pc.equal(pc.floor(numbers), numbers))
    place = pc.index(is_whole, pa.scalar(False)).as_py()
    if place >= 0:
        raise _not_whole(name, column.type, first_row + place, str(numbers[place].as_py()))
    return numbers.cast(pa.int64()).cast(_TEXT)


def wrong_type(shown: str, kind: pa.DataType) -> Unreadable:
    """Return the error about a column whose type no id has."""
    hint = "Write the column as text (string) or as whole numbers (integer)."
    if pa.types.is_nested(kind):
        hint = f"{hint} A record has one parent: write its ID by itself, not in a list or an object."
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        hint = f"{hint} In pandas: df[column].str.decode('utf-8')."
    return Unreadable(
        f"The column {shown} is of the type {kind}; ids are text or whole numbers.", code="invalid_type", hint=hint
    )


def _not_whole(name: str, kind: pa.DataType, row: int, value: str) -> Unreadable:
    return Unreadable(
        f"The column {name} is of the type {kind}, and its value in row {row:,} is {value}; ids are text or whole numbers"
        " of which every digit is known.",
        code="invalid_type",
        hint=f'Write the column as text (string) or as whole numbers (integer), in pandas df["{name}"].astype("Int64").',
    )
