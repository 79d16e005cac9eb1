"""A table as PostgreSQL writes it is read exactly: every character, the difference of null and an empty text, every row."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.datasets.dataset import Column, load_dataset
from pipeline.staging.loaded_table import stage_table

RECORDS = load_dataset("records")
DATASET = replace(
    RECORDS, columns=(*RECORDS.columns[:2], Column("name", "text", False), Column("note", "text", False)), rest=None
)
TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from('",\r\n\\ .;\t'), max_size=8
)
VALUES = st.none() | TEXTS


def as_postgresql_writes(value: str | None) -> str:
    """COPY ... (format csv): a null is nothing; a text is quoted if it has to be, also an empty one."""
    if value is None:
        return ""
    needs_quotes = value in ("", "\\.") or any(character in value for character in ',"\r\n')
    return '"' + value.replace('"', '""') + '"' if needs_quotes else value


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(TEXTS, VALUES, VALUES, VALUES), max_size=6))
@example(rows=[("\\.", None, "", " "), ("a", " a ", "\r", "\n"), ("#", "NULL", '"', "'")])
@example(rows=[("x" * (3 << 20), None, None, "y" * (1 << 20))])
def test_a_table_is_read_as_it_is(rows: list[tuple[str | None, ...]]) -> None:
    lines = [",".join(map(as_postgresql_writes, row)) + "\n" for row in rows]
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "table.csv"
        file.write_text("".join(lines), encoding="utf-8", newline="")
        stage_table(connection, DATASET, file, len(rows), max((len(line.encode()) for line in lines), default=0))
        assert connection.execute("select * exclude (_row) from raw order by _row").fetchall() == rows
        assert connection.execute('select id, "parentId", name, note from incoming order by _row').fetchall() == rows
