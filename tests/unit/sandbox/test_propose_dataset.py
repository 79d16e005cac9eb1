"""A dataset proposed for a file: types that lose no digit, the key, the parent, rules; and what a choice would refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Unreadable
from pipeline.read import Limits
from pipeline.sandbox.propose.column_names import column_name, dataset_name
from pipeline.sandbox.propose.propose_dataset import Proposed, propose


def of_rows(folder: Path, header: str, rows: list[str], **given: Any) -> Proposed:
    """Return the proposal for a CSV of these lines."""
    source = folder / "source"
    source.write_text("\n".join([header, *rows]) + "\n")
    return propose(source, "things", "things.csv", given.get("definition"), Limits(), 256 << 20)


def of_values(folder: Path, *values: str) -> dict[str, Any]:
    """Return the column proposed for these values, beside a column of ids."""
    one = of_rows(folder, "id,value", [f'x{n},"{value}"' for n, value in enumerate(values)])
    assert (one.problem, one.refused) == ("", 0), one
    column: dict[str, Any] = one.definition["columns"][1]
    return {**column, "clean": one.definition["clean"]}


TYPES: list[tuple[tuple[str, ...], str, str | None]] = [
    (("1", "2", "30"), "integer", None),
    (("01", "2", "30"), "text", None),
    (("0", "-5", "7"), "integer", None),
    (("+49301", "+49302"), "text", None),
    (("3000000000", "1"), "bigint", None),
    (("99999999999999999999", "1"), "text", None),
    (("1.5", "2", "0.25"), "numeric", None),
    (("1,5", "2,25"), "numeric", None),
    (("1.234,50", "12,00"), "numeric", None),
    (("1,234", "5,678"), "text", None),
    (("1e5", "2"), "text", None),
    (("true", "false", "True"), "boolean", None),
    (("1", "0", "1"), "integer", None),
    (("yes", "no", "yes"), "text", None),
    (("2024-01-31", "2024-02-01"), "date", None),
    (("31.01.2024", "01.02.2024"), "date", "DD.MM.YYYY"),
    (("01/31/2024", "02/01/2024"), "date", "MM/DD/YYYY"),
    (("31/01/2024", "01/02/2024"), "date", "DD/MM/YYYY"),
    (("03/04/2024", "05/06/2024"), "text", None),
    (("2024-01-31 10:00", "2024-02-01 11:30"), "timestamp", None),
    (("31.01.2024 10:00", "01.02.2024 23:59"), "timestamp", "DD.MM.YYYY HH:mm"),
    (("2024-01-31T10:00:00+02:00", "2024-01-31T10:00:00Z"), "timestamptz", None),
    (("31.02.2024", "01.02.2024"), "text", None),
    (("", ""), "text", None),
]


@pytest.mark.parametrize(("values", "type_", "form"), TYPES)
def test_a_type_takes_every_value_and_loses_no_digit(
    tmp_path: Path, values: tuple[str, ...], type_: str, form: str | None
) -> None:
    column = of_values(tmp_path, *values)
    assert (column["type"], column["format"]) == (type_, form)


def test_decimal_commas_are_cleaned_in_their_columns_only(tmp_path: Path) -> None:
    assert of_values(tmp_path, "1.234,50", "12,00")["clean"] == {
        "decimal": {"value": ",", "columns": ["value"]},
        "thousands": {"value": ".", "columns": ["value"]},
    }


def test_a_value_far_behind_decides_too(tmp_path: Path) -> None:
    assert of_values(tmp_path, *["12"] * 5000, "0012")["type"] == "text"


def test_few_repeated_values_are_all_that_are_allowed(tmp_path: Path) -> None:
    assert of_values(tmp_path, *["red", "blue"] * 5)["values"] == ["blue", "red"]
    assert of_values(tmp_path, *[f"v{n}" for n in range(10)])["values"] is None
    assert of_values(tmp_path, *[f"v{n % 21}" for n in range(210)])["values"] is None


def test_a_column_with_empty_values_is_not_required(tmp_path: Path) -> None:
    assert of_values(tmp_path, "a b", "c d")["required"]
    assert not of_values(tmp_path, "a b", "")["required"]
    assert of_values(tmp_path, "a b", "c d e f")["max_length"] == 20


def test_key_and_parent_are_found_by_values_and_by_names(tmp_path: Path) -> None:
    rows = [f"Person {n},E{n:03d},{f'E{n // 3:03d}' if n else ''},{n % 4}" for n in range(12)]
    one = of_rows(tmp_path, "Full name,Employee No,Boss,Level", rows)
    assert (one.definition["key"], one.definition["parent"]) == ("employee_no", "boss")
    assert next(c for c in one.columns if c.name == "boss").reason == "all of its values are values of Employee No"
    flat = of_rows(tmp_path, "no,quantity", [f"{n},{n % 5 + 1}" for n in range(1, 12)])
    assert (flat.definition["key"], flat.definition["parent"]) == ("no", None), "small numbers are no parents by chance"
    assert any("No column names a parent" in note for note in flat.notes)


def test_records_are_found_by_their_name(tmp_path: Path) -> None:
    one = of_rows(tmp_path, "id,parentId,title,name,kind", [f"{n},,Title {n},Name {n},{'ab'[n % 2]}" for n in range(1, 9)])
    assert [column["name"] for column in one.definition["columns"] if column["search"]] == ["title"]
    assert json.loads(one.suite)["meta"]["search"] == ["title"]


def test_without_a_unique_column_the_proposal_says_what_to_do(tmp_path: Path) -> None:
    one = of_rows(tmp_path, "code,name", ["A,x", "A,x", "B,y"])
    assert one.refused == 2
    assert any("a dataset needs one: its key" in note for note in one.notes)
    assert one.columns[0].refuses["key"].rows == (1, 2)


def test_what_a_choice_refuses_is_counted_in_this_file(tmp_path: Path) -> None:
    rows = ["1,,a,1.5", "2,1,b,x", "3,9,,2"]
    first = of_rows(tmp_path, "id,parentId,name,price", rows)
    definition = {**first.definition, "key": "id", "parent": "parentId"}
    name, price = (next(c for c in definition["columns"] if c["name"] == one) for one in ("name", "price"))
    name.update(required=True, warn=["required"], values=None)
    price.update(type="numeric", values=None, max_length=None)
    again = of_rows(tmp_path, "id,parentId,name,price", rows, definition=definition)
    refuses = {column.name: column.refuses for column in again.columns}
    assert refuses["parentId"]["parent"].rows == (3,) and refuses["parentId"]["parent"].values == ("9",)
    assert refuses["price"]["type"].sentence == "would refuse 1 record: line 3"
    assert refuses["name"]["required"].sentence == "would warn of 1 record: line 4"
    assert again.refused == 2


def test_names_are_made_of_what_files_call_them() -> None:
    named = {
        "Parent SKU": "parent_sku",
        "parentId": "parentId",
        "Größe (cm)": "grosse_cm",
        "2024": "column_2024",
        "名前": "名前",
    }
    assert {original: column_name(original, set()) for original in named} == named
    assert column_name("Name", {"name"}) == "name_2"
    assert column_name("_row", set()) == "row" and column_name("xmin", set()) == "xmin_value"
    assert len(column_name("x" * 200, set()).encode()) <= 63
    assert dataset_name("C:\\files\\Product list 2026-01.csv") == "product_list"
    assert dataset_name("2024.csv") == "data_2024"


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        of_rows(tmp_path, "id,name", [])
