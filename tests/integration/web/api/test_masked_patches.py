"""Edits of personal data: a key that may not unmask sets values, and reads none back, not even by guessing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from pipeline.contracts.masking import MASK
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.http import Caller
from tests.support.imports import MakeImport
from web.app_context import AppContext

COLUMNS = ["id", "parentId", "name", "kind"]
READING = {"columns": COLUMNS, "original_columns": ["Code", "parentId", "Full name", "kind"]}
SECRET, TYPED = "zqxj before", "zqxj after"


@pytest.fixture
def settings(settings: Settings, a_root: Path) -> Settings:
    """With names that are personal data."""
    path = a_root / "expectations" / "places.json"
    suite = json.loads(path.read_text())
    suite["meta"]["personal"] = ["name"]
    path.write_text(json.dumps(suite))
    return settings.model_copy(update={"datasets_root": a_root})


@dataclass
class Both:
    """Two keys, and a rejected import that both may correct."""

    masked: Caller
    clear: Caller
    one: str

    def change(self, caller: Caller, version: int, **body: Any) -> Any:
        return caller("PATCH", f"/v1/imports/{self.one}/patch", json=body, headers={"If-Match": f'"{version}"'})

    def values(self, caller: Caller) -> list[tuple[int, str | None, str | None, str | None]]:
        items = caller.get(f"/v1/imports/{self.one}/patch").json["items"]
        return [(item["row"], item["column"], item["old"], item["new"]) for item in items]


@pytest.fixture
def both(app: Flask, edges: AppContext, settings: Settings, make_import: MakeImport) -> Both:
    """Row 2 has a finding with a name that was stored before names were personal data; row 3 one that is masked."""
    one = make_import(State.VALIDATING, State.REJECTED, records_total=9, reading=READING)
    with psycopg.connect(settings.database_url) as connection:
        for number, value in ((2, SECRET), (3, MASK)):
            connection.execute(
                'insert into ledger.finding (import_id, finding_no, code, severity, message, row, "column", value)'
                " values (%s, %s, 'invalid_name', 'error', 'm', %s, 'name', %s)",
                (one, number, number, value),
            )
    keys = [edges.keys.create(f"unmask {may}", Role.UPLOADER, unmask=may)[0] for may in (False, True)]
    masked, clear = (Caller(app.test_client(), key) for key in keys)
    return Both(masked, clear, one)


@pytest.mark.parametrize("column", ["name", "Full name"])
def test_a_masked_value_is_set_and_not_read(both: Both, column: str) -> None:
    edits = [{"row": 2, "column": column, "new": TYPED}, {"row": 2, "column": "kind", "new": "Country"}]
    made = both.change(both.masked, 0, edits=edits)
    assert made.status_code == 200 and TYPED not in made.text
    assert both.values(both.masked) == [(2, "kind", None, "Country"), (2, "name", None, MASK)]
    assert both.values(both.clear) == [(2, "kind", None, "Country"), (2, "name", None, TYPED)]


def test_what_another_user_typed_is_masked_in_a_list_and_in_a_conflict(both: Both) -> None:
    mine = both.change(both.clear, 0, edits=[{"row": 3, "column": "name", "new": TYPED, "old": SECRET}])
    assert mine.status_code == 200
    assert both.values(both.masked) == [(3, "name", MASK, MASK)]
    refused = both.change(both.masked, 0, edits=[{"row": 3, "column": "name", "new": "x"}])
    assert (refused.status_code, refused.json["conflicts"][0]["new"]) == (412, MASK)
    assert TYPED not in refused.text and SECRET not in refused.text
    told = both.change(both.clear, 0, edits=[{"row": 3, "column": "name", "new": "x"}])
    assert told.json["conflicts"][0]["new"] == TYPED


def test_an_emptied_value_is_seen_to_be_empty(both: Both) -> None:
    assert both.change(both.masked, 0, edits=[{"row": 3, "column": "name", "new": None}]).status_code == 200
    assert both.values(both.masked) == [(3, "name", None, None)]


@pytest.mark.parametrize("guess", [SECRET, "another"])
def test_a_guess_is_not_told_from_the_value(both: Both, guess: str) -> None:
    made = both.change(both.masked, 0, edits=[{"row": 2, "column": "name", "new": "x", "old": guess}])
    assert (made.status_code, made.json["changed"]) == (200, 1)
    for column in ("name", "Full name"):
        like = {"code": "invalid_name", "column": column, "value": guess, "skip": True}
        refused = both.change(both.masked, 1, like=like)
        assert (refused.status_code, refused.json["code"]) == (422, "invalid_parameter"), refused.json
    assert SECRET not in both.masked.get(f"/v1/imports/{both.one}/patch").text


def test_all_rows_of_a_code_are_changed_without_their_values(both: Both) -> None:
    made = both.change(both.masked, 0, like={"code": "invalid_name", "column": "name", "value": None, "new": TYPED})
    assert (made.status_code, made.json["changed"]) == (200, 0)
    skipped = both.change(both.masked, 0, skip_rows=[2, 3])
    assert skipped.json["skipped_rows"] == 2
