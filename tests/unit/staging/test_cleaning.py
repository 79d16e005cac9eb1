"""Values are cleaned by declared rules only, each of which says what it changed; ``raw`` keeps the file's own values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contracts.options import Options
from pipeline.datasets.cleaning_rules import ValueRule
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.table import Column
from pipeline.staging.cast import stage
from pipeline.staging.cleaning_sql import cleaned_value
from pipeline.staging.database import MOST_ROWS, WIDE_BYTES
from tests.support.staging import read_into, run_stage

RECORDS = load_dataset("records")
TYPED = replace(
    RECORDS,
    columns=(*RECORDS.columns, Column("n", "numeric(12,2)", False), Column("born", "date", False), Column("i", "int", False)),
)
Staged = Callable[..., tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    """Read and stage a text; gives these columns of ``incoming``, and (code, row, value, message, hint) of the findings."""

    def run(content: str, dataset: Dataset, columns: str, **options: Any) -> Any:
        (tmp_path / "source").write_text(content, encoding="utf-8")
        database = tmp_path / "staging.duckdb"
        asked = dataset.for_upload(Options(**options))
        read_into(database, tmp_path / "source", asked, options=asked.options)
        run_stage(stage, database, asked)
        with duckdb.connect(str(database)) as connection:
            rows = connection.execute(f"select {columns} from incoming order by _row").fetchall()
            found = connection.execute(
                "select code, row, value, message, hint from findings order by row nulls first, code, message"
            ).fetchall()
            kept = connection.execute("select count(*) from raw").fetchall()
            assert kept == [(len(rows),)]
        return rows, found

    return run


CASES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "trim": ({"trim": True}, " \u00a0a b\t", "a b"),
    "trim to nothing": ({"trim": True}, "  ", None),
    "collapse_spaces": ({"collapse_spaces": True}, "a \u00a0  b", "a b"),
    "nfc": ({"nfc": True}, "Zu\u0308rich", "Z\u00fcrich"),
    "upper": ({"case": "upper"}, "aé", "AÉ"),
    "lower": ({"case": "lower"}, "AÉ", "aé"),
    "null_values": ({"null_values": ["NULL", "n/a"]}, "n/a", None),
    "null_values are whole": ({"null_values": ["NULL"]}, "NULLS", "NULLS"),
    "null_values after trim": ({"null_values": ["NULL"], "trim": True, "case": "lower"}, " NULL ", None),
    "unquote_excel": ({"unquote_excel": True}, '"=""001"""', "001"),
    "unquote_excel with quotes": ({"unquote_excel": True}, '"=""a""""b"""', 'a"b'),
    "unquote_excel, no text": ({"unquote_excel": True}, "=A1", "=A1"),
    "strip_leading_apostrophe": ({"strip_leading_apostrophe": True}, "'001", "001"),
    "strip_leading_apostrophe once": ({"strip_leading_apostrophe": True}, "''x'", "'x'"),
    "another column": ({"trim": {"columns": ["id"]}}, " a ", " a "),
}


@pytest.mark.parametrize(("clean", "written", "read"), CASES.values(), ids=CASES)
def test_a_rule_changes_what_it_is_about(staged: Staged, clean: dict[str, Any], written: str, read: str | None) -> None:
    rows, found = staged(f"id,parentId,name\n1,,{written}\n", RECORDS, "name", clean=clean)
    assert rows == [(read,)]
    changed = read != (written if not written.startswith('"') else written[1:-1].replace('""', '"'))
    assert bool([code for code, *_ in found if code == "cleaned_values"]) == changed


NUMBERS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "decimal": ({"decimal": ","}, "1,5", "1.50"),
    "decimal, thousands": ({"decimal": ",", "thousands": "."}, "1.234.567,5", "1234567.50"),
    "decimal, no groups of three": ({"decimal": ",", "thousands": "."}, "1.23", None),
    "a point where a comma is declared": ({"decimal": ","}, "1.234", None),
    "thousands": ({"thousands": ","}, "1,234.5", "1234.50"),
    "thousands by spaces": ({"thousands": " ", "decimal": ","}, "1\u00a0234\u202f567,5", "1234567.50"),
    "Swiss": ({"thousands": "'"}, "1’234.5", "1234.50"),
    "a whole number": ({"decimal": ","}, "12", "12.00"),
}


@pytest.mark.parametrize(("clean", "written", "read"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_are_read_as_declared_or_refused(staged: Staged, clean: dict[str, Any], written: str, read: str | None) -> None:
    rows, found = staged(f'id,parentId,n\n1,,"{written}"\n', TYPED, "n::varchar", clean=clean)
    assert rows == [(read,)]
    refused = [(code, value) for code, _, value, *_ in found if code != "cleaned_values"]
    assert refused == ([] if read else [("invalid_type", written)]), "with the value of the file"


DATES = {
    "DD.MM.YYYY": ("31.12.2024", "2024-12-31"),
    "M/D/YYYY": ("2/3/2024", "2024-02-03"),
    "YYYYMMDD": ("20240229", "2024-02-29"),
    "excel": ("45657", "2024-12-31"),
}


@pytest.mark.parametrize(("form", "written", "read"), [(form, *pair) for form, pair in DATES.items()])
def test_dates_are_read_in_their_format(staged: Staged, form: str, written: str, read: str) -> None:
    content = f"id,parentId,born\n1,,{written}\n2,,2024-01-02\n3,,31.02.2024\n"
    rows, found = staged(content, TYPED, "born::varchar", clean={"date_format": {"born": form}})
    assert rows == [(read,), ("2024-01-02",), (None,)]
    assert [(code, row, value) for code, row, value, *_ in found] == [
        ("cleaned_values", None, None),
        ("invalid_type", 3, "31.02.2024"),
    ]


@pytest.mark.parametrize(
    ("serial", "date"),
    [("1", "1900-01-01"), ("59", "1900-02-28"), ("60", "60"), ("61", "1900-03-01"), ("0", "0"), ("2958465", "9999-12-31"),
     ("2958466", "2958466"), ("45657.5", "2024-12-31T12:00:00"), ("x", "x")],
)  # fmt: skip
def test_a_serial_number_of_excel_is_a_date(serial: str, date: str) -> None:
    sql = cleaned_value(ValueRule("date_format", {"d": "excel"}), "d", "value", is_number=False)
    assert duckdb.execute(f"select {sql} from (select ? as value)", [serial]).fetchall() == [(date,)]


def test_a_hint_names_the_rule_that_would_help(staged: Staged) -> None:
    _, found = staged('id,parentId,n,born\n1,,"1,5",31.12.2024\n', TYPED, "id")
    assert [hint.partition("clean=")[2] for *_, hint in found] == [
        '{"decimal": ","}.',
        '{"date_format": {"born": "DD.MM.YYYY"}}.',
    ]


def test_each_rule_says_how_many_values_it_changed_with_examples(staged: Staged) -> None:
    content = "id,parentId,name,x\n a1 ,,NULL,1\nb1, a1, b,2\nc1,A1,c,\n"
    rows, found = staged(
        content, RECORDS, 'id, "parentId", name', clean={"trim": True, "null_values": ["NULL"], "case": "upper"}
    )
    assert rows == [("A1", None, None), ("B1", "A1", "B"), ("C1", "A1", "C")]
    assert [message for *_, message, _ in found] == [
        'The rule case changed 6 values (id, name, parentId), for instance "a1" -> "A1", "b1" -> "B1", "c1" -> "C1".',
        'The rule null_values changed 1 value (name), for instance "NULL" -> empty.',
        'The rule trim changed 3 values (id, name, parentId), for instance " a1 " -> "a1", " b" -> "b", " a1" -> "a1".',
    ]


def test_a_rule_for_a_column_that_the_file_lacks_is_a_warning_that_names_both(staged: Staged) -> None:
    content = "id,parentId,Name\n1,,a\n"
    mapping = {"mapping": {"Name": "name"}}
    _, found = staged(
        content, RECORDS, "id", clean={"trim": {"columns": ["id", "naem"]}, "nfc": {"columns": ["Name"]}}, **mapping
    )
    assert [(code, message, hint) for code, _, _, message, hint in found] == [
        (
            "unknown_column",
            "The rule nfc of clean is for a column 'Name', which the file does not have. It changed nothing.",
            "It is read as name: name that one.",
        ),
        (
            "unknown_column",
            "The rule trim of clean is for a column 'naem', which the file does not have. It changed nothing.",
            "It has: id, parentId, name. Did you mean name?",
        ),
    ]


def test_a_rule_of_the_suite_for_a_column_that_files_may_lack_is_no_warning(staged: Staged) -> None:
    meta = {**RECORDS.suite["meta"], "clean": {"trim": {"columns": ["name"]}}}
    _, found = staged("id,parentId\n1,\n", replace(RECORDS, suite={**RECORDS.suite, "meta": meta}), "id")
    assert found == []


def test_examples_show_what_is_invisible(staged: Staged) -> None:
    _, found = staged(
        "id,parentId,name\n1,,a\u00a0b\n2,,Zu\u0308rich\n", RECORDS, "id", clean={"nfc": True, "collapse_spaces": True}
    )
    assert [message.partition("instance ")[2] for *_, message, _ in found] == [
        '"a\\u00a0b" -> "a b".',
        r'"Zu\u0308rich" -> "Z\xfcrich".',
    ]


def test_wide_rows_are_cleaned_range_by_range(staged: Staged) -> None:
    long = "x" * (WIDE_BYTES + 1)
    content = "id,parentId,name\n" + "".join(f" {n},,{long}\n" for n in range(50))
    rows, found = staged(content, RECORDS, "id", clean={"trim": True})
    assert rows == [(str(n),) for n in range(50)] and MOST_ROWS > 50
    assert found[0][3].startswith("The rule trim changed 50 values (id)")


TEXTS = st.text(st.sampled_from(" \u00a0\t'\"=.,-0019aAéß\u0301"), max_size=8)


def simply(rule: str, text: str) -> str:
    """The same in Python, one value at a time."""
    match rule:
        case "trim":
            return text.strip()
        case "collapse_spaces":
            return re.sub(r"\s+", " ", text)
        case "nfc":
            return unicodedata.normalize("NFC", text)
        case "strip_leading_apostrophe":
            return text.removeprefix("'")
        case _:
            inner = re.fullmatch(r'="((?:[^"]|"")*)"', text)
            return inner[1].replace('""', '"') if inner else text


@pytest.mark.parametrize("rule", ["trim", "collapse_spaces", "nfc", "strip_leading_apostrophe", "unquote_excel"])
@given(texts=st.lists(TEXTS | TEXTS.map(lambda text: f'="{text}"'), max_size=20))
@settings(max_examples=20, deadline=None)
def test_a_rule_does_the_same_as_python(rule: str, texts: list[str]) -> None:
    sql = cleaned_value(ValueRule(rule, True), "c", "value", is_number=False)
    found = duckdb.execute(f"select {sql} from (select unnest(?::varchar[]) as value)", [texts]).fetchall()
    assert [value for (value,) in found] == [simply(rule, text) for text in texts]
