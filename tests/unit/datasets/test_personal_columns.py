"""Which columns may be tagged as personal data, and what the tag means for a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.masking import MASK, masked_record
from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.personal_columns import is_visible
from pipeline.errors import InvalidConfiguration, InvalidRequest

TABLE = """
create table warehouse.people (
    id text primary key, "parentId" text, name text, born date, rest jsonb,
    _import_id uuid not null, _row bigint not null, _loaded_at timestamptz not null default now()
);
"""


def people(root: Path, **meta: Any) -> Dataset:
    """Return a dataset of people whose suite has this ``meta``."""
    for folder in ("expectations", "sql/tables"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "sql/tables/people.sql").write_text(TABLE)
    (root / "expectations/people.json").write_text(json.dumps({"name": "people", "meta": meta, "expectations": []}))
    return load_dataset("people", root)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"personal": "name"}, "a list of columns"),
        ({"personal": ["nmae"]}, "the table lacks.*name"),
        ({"personal": ["id"]}, "cannot be masked"),
        ({"personal": ["parentId"]}, "cannot be masked"),
        ({"personal": ["name"], "parent_by": "name"}, "would appear as parents"),
        ({"personal": ["name"], "parent_by": "id,name"}, "would appear as parents"),
        ({"personal": ["name"], "parent_by": "name > name"}, "would appear as parents"),
        ({"personal": ["name"], "shape": {"kind": "levels", "columns": ["a", "b"]}}, "makes IDs of"),
    ],
)
def test_a_definition_that_cannot_hold_is_refused(tmp_path: Path, meta: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said):
        people(tmp_path, **meta)


def test_an_upload_cannot_make_ids_of_masked_values(tmp_path: Path) -> None:
    dataset = people(tmp_path, personal=["name"])
    with pytest.raises(InvalidRequest, match="makes IDs of"):
        dataset.check_options(ReadOptions(shape={"kind": "path", "column": "name", "separator": "/"}))
    with pytest.raises(InvalidRequest, match="would appear as parents"):
        dataset.check_options(ReadOptions(parent_by="name"))
    dataset.check_options(ReadOptions(parent_by="id"))


def test_a_dataset_is_masked_unless_it_is_clear(tmp_path: Path) -> None:
    from dataclasses import replace

    dataset = people(tmp_path, personal=["born", "name"])
    assert dataset.masked == ("name", "born")
    assert [column.type for column in dataset.shown_columns] == ["text", "text", "text", "text", "jsonb"]
    assert replace(dataset, is_clear=True).masked == ()
    assert people(tmp_path).masked == ()


def test_other_columns_of_a_file_are_masked_unless_the_rest_takes_them(tmp_path: Path) -> None:
    assert not is_visible(people(tmp_path, personal=["name"]), "nmae")
    assert is_visible(people(tmp_path, personal=["name"], rest="rest"), "nmae")
    assert not is_visible(people(tmp_path, personal=["rest"], rest="rest"), "nmae")


def test_null_stays_null() -> None:
    assert masked_record({"id": 1, "name": "x", "born": None}, ("name", "born")) == {"id": 1, "name": MASK, "born": None}
