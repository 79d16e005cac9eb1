"""Rows that an upload says to skip, and rows of totals: left out on demand, otherwise a warning."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read.totals_rows import TOTAL_WORDS, is_total_word
from tests.support.staging import opened, read_into

RECORDS = load_dataset("records")
Rows = list[tuple[Any, ...]]
Loaded = Callable[..., tuple[Rows, Rows]]

_READ = """
select _row, coalesce(own, first_line + _row - first_row), id from (
    select _row, null as own, id from raw union all select _row, line, null from malformed
) asof left join lines on _row >= first_row order by _row
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Read a file; gives (row, line, id) of its records, malformed ones too, and (code, row, message) of the findings."""

    def run(content: str | bytes, **clean: Any) -> tuple[Rows, Rows]:
        (tmp_path / "source").write_bytes(content.encode() if isinstance(content, str) else content)
        dataset = RECORDS.for_upload(Options(clean=clean))
        reading = read_into(tmp_path / "staging.duckdb", tmp_path / "source", dataset, options=dataset.options)
        with opened(tmp_path / "staging.duckdb") as connection:
            rows = connection.execute(_READ).fetchall()
            found = connection.execute("select code, row, message from findings order by row nulls first, message").fetchall()
        assert [row for row, *_ in rows] == list(range(1, reading.records + 1))
        return rows, found

    return run


FILE = 'id,parentId,name\n1,,a\n\n2,1,"b\nb"\n3\n4,1,c\n5,1,d\n'


def test_rows_are_skipped_by_their_lines_and_the_others_keep_theirs(loaded: Loaded) -> None:
    assert loaded(FILE)[0] == [(1, 2, "1"), (2, 4, "2"), (3, 6, None), (4, 7, "4"), (5, 8, "5")]
    rows, found = loaded(FILE, skip_rows=[4, "6-7"])
    assert rows == [(1, 2, "1"), (2, 8, "5")]
    assert found == [("cleaned_values", None, "The rule skip_rows left out 3 rows, as declared: line 4, 6-7.")]


def test_a_skipped_row_has_no_finding_and_the_others_keep_theirs(loaded: Loaded) -> None:
    _, found = loaded(FILE, skip_rows=[4])
    assert [(code, row) for code, row, _ in found] == [("cleaned_values", None), ("malformed_row", 2)]


def test_lines_without_a_record_are_named(loaded: Loaded, tmp_path: Path) -> None:
    rows, found = loaded(FILE, skip_rows=[3, 99])
    assert len(rows) == 5 and found[0] == (
        "cleaned_values",
        None,
        "The rule skip_rows left out 0 rows, as declared: line 3, 99.",
    )
    with opened(tmp_path / "staging.duckdb") as connection:
        ((hint,),) = connection.execute("select hint from findings where code = 'cleaned_values'").fetchall()
    assert hint == "No record begins there; skip_rows counts by line, from 1."


def test_records_of_an_array_are_skipped_by_their_numbers(loaded: Loaded) -> None:
    rows, _ = loaded('[{"id": 1, "parentId": null},\n {"id": 2, "parentId": 1},\n {"id": 3, "parentId": 1}]', skip_rows=[2])
    assert [(row, one) for row, _, one in rows] == [(1, "1"), (2, "3")]


def test_a_file_of_which_every_row_is_skipped_is_empty(loaded: Loaded) -> None:
    with pytest.raises(Unreadable, match="contains no records"):
        loaded("id,parentId\n1,\n2,\n", skip_rows=["1-9"])


@given(kept=st.lists(st.booleans(), min_size=1, max_size=12).filter(any), blank=st.sets(st.integers(0, 11)))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_left_is_what_a_list_would_be(loaded: Loaded, kept: list[bool], blank: set[int]) -> None:
    lines, places = ["id,parentId"], []
    for number in range(len(kept)):
        lines += [""] * (number in blank)
        lines.append(f"r{number},")
        places.append((len(lines), f"r{number}"))
    wanted = [place for place, keep in zip(places, kept, strict=True) if keep]
    skipped = [line for (line, _), keep in zip(places, kept, strict=True) if not keep]
    rows, _ = loaded("\n".join(lines) + "\n", **({"skip_rows": skipped} if skipped else {}))
    assert [(line, one) for _, line, one in rows] == wanted


# --- Totals ---


@pytest.mark.parametrize(
    "last",
    ["Total,,,8", 'SUMME,,,"1.234,5"', "Grand  Total:,,,$8", "合計,,,8", "Итого,,x,8", ",,Total,8", ",,Gesamt,8 %"],
)
def test_totals_are_a_warning_or_left_out(loaded: Loaded, last: str) -> None:
    content = f"id,parentId,name,count\n1,,a,3\n2,1,b,5\n{last}\n"
    rows, found = loaded(content)
    assert len(rows) == 3 and [(code, row) for code, row, _ in found] == [("totals_row", 3)]
    rows, found = loaded(content, skip_totals=True)
    assert [one for *_, one in rows] == ["1", "2"] and [code for code, *_ in found] == ["cleaned_values"]


@pytest.mark.parametrize(
    "last",
    ["Total,1,,8", "Total,,Total France SA,x", "Total,,,", "Totally,,,8", "3,,Sum of it,8", "Total,,,8\n3,1,c,9"],
    ids=["a parent", "no numbers", "nothing else", "another word", "an ID", "not last"],
)
def test_other_rows_are_records(loaded: Loaded, last: str) -> None:
    rows, found = loaded(f"id,parentId,name,count\n1,,a,3\n2,1,b,5\n{last}\n", skip_totals=True)
    assert len(rows) >= 3 and found == []


def test_a_row_that_others_name_as_their_parent_is_a_record(loaded: Loaded) -> None:
    assert loaded("id,parentId,count\n1,Total,3\nTotal,,8\n")[1] == []


def test_each_file_of_an_archive_may_end_with_totals(loaded: Loaded) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in (1, 2):
            file.writestr(f"{number}.csv", f"id,parentId,count\n{number},,3\nTotal,,3\n")
    rows, found = loaded(archive.getvalue(), skip_totals=True)
    assert [(row, one) for row, _, one in rows] == [(1, "1"), (2, "2")]
    assert [message for *_, message in found] == ["The rule skip_totals left out 2 rows of totals: Total, Total."]


def test_words_for_totals_are_known_in_any_case() -> None:
    assert all(is_total_word(word) and is_total_word(word.upper()) for word in TOTAL_WORDS if word.isascii())
    assert is_total_word(" **Total:** ") and not is_total_word("Total Energies") and not is_total_word("")


def test_totals_that_a_workbook_declares_are_taken(tmp_path: Path) -> None:
    from pipeline.read.limits import Limits
    from pipeline.read.raw_tables import RawTables
    from pipeline.read.read_result import ReadResult
    from pipeline.read.skipped_rows import skip_rows

    dataset = RECORDS.for_upload(Options(clean={"skip_totals": True}))
    with duckdb.connect() as connection, RawTables(connection, dataset, Limits(), tmp_path, dataset.options) as staging:
        connection.execute(
            "create table raw as select * from (values (1, '1', null), (2, 'All', null)) t(_row, id, \"parentId\")"
        )
        connection.execute("insert into declared_totals values (2)")
        left = skip_rows(staging, "xlsx", ReadResult(2, ("id", "parentId"), 3, False, sheet="S"), members=1)
        assert left.records == 1 and connection.execute("select id from raw").fetchall() == [("1",)]
