"""The staging query: each column of the dataset as SQL over the columns of ``raw``."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column
from pipeline.datasets.upload_rules import OWN_ID, cleaning_of, no_parent_values_of
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.types import reading_of_type

_BLANK = "[ \\t\\r\\n]*"


def casts(dataset: Dataset, present: Sequence[str]) -> dict[str, str]:
    """Return the SQL that casts each of the file's columns that has to be cast.

    A reader may cast while it reads and keep the values in ``text_rows`` under ``typed_name``; ``incoming`` then takes them
    from there, and nothing is copied.
    """
    is_cleaned_first = cleaning_of(dataset).rules
    if dataset.staging_file.is_file() or is_cleaned_first or any(name.startswith(typed_name("")) for name in present):
        return {}
    own = [column for column in dataset.columns if column.name in present and column.name != dataset.rest]
    return {
        column.name: value_of(column, dataset, present) for column in own if reading_of_type(column.type).accepts is not None
    }


def typed_name(name: str) -> str:
    """Return the name of the column with the cast values, beside the one with the text."""
    return f"_typed {name}"


def derived_query(dataset: Dataset, present: list[str], rows: str = "raw") -> str:
    """Return the staging query that follows from the table: each column read by its type, the others gathered in ``rest``.

    ``rows`` is the table with their text.
    """
    picks = ["_row", *(f"{value_of(column, dataset, present)} as {quoted(column.name)}" for column in dataset.columns)]
    return f"select {', '.join(picks)} from {rows}"


def is_plain_text(dataset: Dataset) -> bool:
    """Return whether no column is cast, apart from the one that gathers the rest."""
    own = [column for column in dataset.columns if column.name != dataset.rest]
    return not dataset.staging_file.is_file() and all(reading_of_type(column.type).accepts is None for column in own)


def value_of(column: Column, dataset: Dataset, present: Sequence[str]) -> str:
    """Return the SQL of a column's value, over ``raw``."""
    if column.name == dataset.rest:
        return _rest(dataset, present)
    if _is_given(column, dataset, present):
        return _read(column, dataset, present)
    return f"cast(null as {reading_of_type(column.type).type})"


def _is_given(column: Column, dataset: Dataset, present: Sequence[str]) -> bool:
    """Return whether the file has the column, or its values follow from a default or a path."""
    from_path = column.name == dataset.parent and dataset.shape.path_separator is not None
    return column.name in present or column.name in dataset.mapping.defaults or from_path


def text_of(column: Column, dataset: Dataset, present: Sequence[str]) -> str:
    """Return the SQL of the text that is read. An empty text is a missing value, except in a column of text."""
    if column.name == dataset.parent and dataset.shape.path_separator is not None:
        return parent_of(quoted(dataset.key), dataset.shape.path_separator)
    default = dataset.mapping.defaults.get(column.name)
    if default is not None:
        own = f"nullif({quoted(column.name)}, '')" if column.name in present else "null"
        return f"coalesce({own}, {literal(default)})"
    if column.name == dataset.parent and (none := no_parent_values_of(dataset)):
        own = f" and {quoted(column.name)} is distinct from {quoted(dataset.key)}"
        is_own = own if OWN_ID in none and dataset.key in present else ""
        among = f"('', {', '.join(map(literal, none))})"
        return f"case when {quoted(column.name)} not in {among}{is_own} then {quoted(column.name)} end"
    plain = reading_of_type(column.type).type == "varchar" and column.name not in (dataset.key, dataset.parent)
    return quoted(column.name) if plain else f"nullif({quoted(column.name)}, '')"


def parent_of(path: str, separator: str) -> str:
    """Return the SQL of the parent of a ``path`` (SQL too), which lacks its last step; null for the first level."""
    last = f"length(split_part({path}, {literal(separator)}, -1))"
    return f"nullif(left({path}, greatest(length({path}) - {last} - {len(separator)}, 0)), '')"


def _read(column: Column, dataset: Dataset, present: Sequence[str]) -> str:
    reading, text = reading_of_type(column.type), text_of(column, dataset, present)
    value = reading.value.replace("{v}", text)
    if reading.accepts is None:
        return value
    return f"case when {reading.accepts.replace('{v}', text)} then {value} end"


def _rest(dataset: Dataset, present: Sequence[str]) -> str:
    """Return the SQL of a JSON object of the columns that the table does not name, without empty values."""
    others = [name for name in present if name not in (*dataset.names, "_row")]
    text_of_rest = f"{dataset.rest}.{dataset.rest}"  # a file's column that is called like the rest and has no objects
    keys = {name: dataset.rest if dataset.rest and name == text_of_rest else name for name in others}
    members = ", ".join(f"{literal(_json_key(key))} || to_json({quoted(name)})" for name, key in keys.items())
    gathered = f"'{{' || concat_ws(',', {members}) || '}}'" if members else "'{}'"
    if dataset.rest is None or dataset.rest not in present:
        return gathered
    own = quoted(dataset.rest)
    both = f"case when {_is_empty(own)} then {gathered} else {_joined(own, gathered)} end" if members else own
    return f"case when {own} is null then {gathered} when {_is_object(own)} then {both} end"


def _is_empty(text: str) -> str:
    return f"regexp_full_match({text}, {literal(_BLANK + '[{]' + _BLANK + '[}]' + _BLANK)})"


def _joined(own: str, gathered: str) -> str:
    """Return the SQL of one object with the members of two, as they are written: parsing would round their numbers."""
    opened = f"regexp_replace({own}, {literal('[}]' + _BLANK + '$')}, '')"
    return f"case when {gathered} = '{{}}' then {own} else {opened} || ',' || substr({gathered}, 2) end"


def _is_object(text: str) -> str:
    accepts = reading_of_type("jsonb").accepts or ""
    return f"({accepts.replace('{v}', text)} and json_type({text}) = 'OBJECT')"


def _json_key(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '":'
