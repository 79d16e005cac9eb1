"""Edits of a file's cells through the API: made, undone, in conflict, in bulk, within the datasets of a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.http import Caller
from tests.support.imports import MakeImport
from web.app_context import AppContext

REJECTED = (State.VALIDATING, State.REJECTED)
READING = {"columns": ["id", "parentId", "name", "kind"], "original_columns": ["Code", "parentId", "name", "Kind"]}


@pytest.fixture
def rejected(make_import: MakeImport, settings: Settings) -> str:
    """A rejected file of 20,000 rows: 12,000 have the same wrong kind, row 7 misspells its parent."""
    one = make_import(*REJECTED, records_total=20_000, reading=READING)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            'insert into ledger.finding (import_id, finding_no, code, severity, message, row, "column", value)'
            " select %s, n, 'expectation_failed', 'error', 'm', n, 'kind', 'Nation' from generate_series(1, 12000) n",
            (one,),
        )
        connection.execute(
            'insert into ledger.finding (import_id, finding_no, code, severity, message, row, "column", value)'
            " values (%s, 20001, 'missing_parent', 'error', 'm', 7, 'parentId', 'FRR')",
            (one,),
        )
    return one


def change(api: Caller, one: str, version: object, **body: Any) -> Any:
    return api("PATCH", f"/v1/imports/{one}/patch", json=body, headers={"If-Match": f'"{version}"'})


def edits(api: Caller, one: str, query: str = "") -> Any:
    return api.get(f"/v1/imports/{one}/patch?{query}").json["items"]


def test_cells_are_edited_and_edits_are_undone(api: Caller, rejected: str) -> None:
    empty = api.get(f"/v1/imports/{rejected}/patch")
    assert (empty.json["version"], empty.json["items"], empty.headers["ETag"]) == (0, [], '"0"')
    body = {"edits": [{"row": 7, "column": "parentId", "new": "FR", "old": "FRR"}], "skip_rows": [9], "roots": [8]}
    made = change(api, rejected, 0, **body)
    assert (made.status_code, made.headers["ETag"]) == (200, '"1"'), made.json
    told = {name: made.json[name] for name in ("version", "edits", "skipped_rows", "roots", "changed")}
    assert told == {"version": 1, "edits": 2, "skipped_rows": 1, "roots": 1, "changed": 3}
    seen = [(one["row"], one["column"], one["kind"], one["old"], one["new"]) for one in edits(api, rejected)]
    assert seen == [(7, "parentId", "edit", "FRR", "FR"), (8, "parentId", "root", None, None), (9, None, "skip", None, None)]
    first = edits(api, rejected)[0]
    assert (first["by"]["name"], first["version"]) == ("a test's uploader", 1)
    undone = change(api, rejected, 1, undo=[{"row": 7, "column": "parentId"}, {"row": 8, "column": "parentId"}])
    assert (undone.json["edits"], undone.json["skipped_rows"], undone.json["changed"]) == (0, 1, 2)
    assert change(api, rejected, 2, unskip_rows=[9]).json["skipped_rows"] == 0
    assert edits(api, rejected) == []


def test_a_column_has_the_name_of_findings_whichever_is_sent(api: Caller, rejected: str) -> None:
    change(api, rejected, 0, edits=[{"row": 1, "column": "Code", "new": "a"}, {"row": 2, "column": "id", "new": ""}])
    assert [(one["column"], one["new"]) for one in edits(api, rejected)] == [("id", "a"), ("id", None)]


def test_the_second_of_two_users_loses_nothing(api: Caller, rejected: str, caller_for: Callable[[str], Caller]) -> None:
    other = caller_for("uploader")
    assert change(other, rejected, 0, edits=[{"row": 7, "column": "parentId", "new": "FR"}]).status_code == 200
    refused = change(api, rejected, 0, edits=[{"row": 7, "column": "parentId", "new": "DE"}], skip_rows=[3])
    assert (refused.status_code, refused.json["code"]) == (412, "patch_conflict")
    assert (refused.json["version"], refused.headers["ETag"]) == (1, '"1"')
    assert [(one["row"], one["new"]) for one in refused.json["conflicts"]] == [(7, "FR")]
    assert len(edits(api, rejected)) == 1
    again = change(api, rejected, 1, edits=[{"row": 7, "column": "parentId", "new": "DE"}], skip_rows=[3])
    assert again.status_code == 200
    elsewhere = change(other, rejected, 1, skip_rows=[4])
    assert (elsewhere.status_code, elsewhere.json["conflicts"], elsewhere.json["changed_total"]) == (412, [], 2)
    assert [(one["row"], one["new"]) for one in edits(api, rejected)] == [(3, None), (7, "DE")]


def test_a_version_has_to_be_named(api: Caller, rejected: str) -> None:
    said = api("PATCH", f"/v1/imports/{rejected}/patch", json={"skip_rows": [1]})
    assert (said.status_code, said.json["code"]) == (428, "precondition_required")
    assert api("DELETE", f"/v1/imports/{rejected}/patch").status_code == 428
    assert change(api, rejected, "x", skip_rows=[1]).status_code == 400
    assert change(api, rejected, 5, skip_rows=[1]).status_code == 412


def test_all_alike_are_edited_at_once(api: Caller, rejected: str) -> None:
    like = {"code": "expectation_failed", "column": "kind", "value": "Nation"}
    made = change(api, rejected, 0, like={**like, "new": "Country"})
    assert (made.json["changed"], made.json["edits"]) == (12_000, 12_000)
    assert [one["row"] for one in edits(api, rejected, "first_row=11999")] == [11_999, 12_000]
    assert edits(api, rejected, "last_row=1")[0]["old"] == "Nation"
    skipped = change(api, rejected, 1, like={**like, "skip": True})
    assert (skipped.json["edits"], skipped.json["skipped_rows"]) == (12_000, 12_000)
    gone = api("DELETE", f"/v1/imports/{rejected}/patch", headers={"If-Match": '"2"'})
    assert (gone.json["version"], gone.json["edits"], gone.json["changed"]) == (3, 0, 24_000)


def test_10000_edits_in_one_request_and_no_more(api: Caller, rejected: str) -> None:
    many = [{"row": row, "column": "name", "new": f"n{row}"} for row in range(1, 10_001)]
    assert change(api, rejected, 0, edits=many).json["edits"] == 10_000
    assert change(api, rejected, 1, edits=[*many, many[0]]).status_code == 422
    page = api.get(f"/v1/imports/{rejected}/patch?limit=1000").json
    rows, cursor = [one["row"] for one in page["items"]], page["next_cursor"]
    while cursor:
        page = api.get(f"/v1/imports/{rejected}/patch?limit=1000&cursor={cursor}").json
        rows, cursor = rows + [one["row"] for one in page["items"]], page["next_cursor"]
    assert rows == [*range(1, 10_001)]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"edits": [{"row": 20_001, "column": "name", "new": "x"}]}, 422, "invalid_parameter"),
        ({"edits": [{"row": 1, "column": "nam", "new": "x"}]}, 422, "invalid_parameter"),
        ({"edits": [{"row": 7, "column": "parentId", "new": "x", "old": "FR"}]}, 409, "other_value"),
        ({"like": {"code": "missing_parent", "column": "parentId", "value": "FRR"}}, 422, "invalid_parameter"),
        ({"like": {"code": "a", "column": "parentId", "new": "x", "skip": True}}, 422, "invalid_parameter"),
        ({"skip_rows": [0]}, 422, "invalid_parameter"),
    ],
)
def test_what_is_wrong_changes_nothing(api: Caller, rejected: str, body: dict[str, Any], status: int, code: str) -> None:
    answer = change(api, rejected, 0, **body)
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.json
    assert api.get(f"/v1/imports/{rejected}/patch").json["version"] == 0


def test_only_what_has_ended_and_was_read_can_be_edited(api: Caller, make_import: MakeImport) -> None:
    assert change(api, make_import(*REJECTED), 0, skip_rows=[1]).json["code"] == "not_editable"
    assert change(api, make_import(State.VALIDATING), 0, skip_rows=[1]).json["code"] == "not_finished"


def test_a_reader_and_another_dataset_see_no_more_than_they_may(
    app: Any, api: Caller, edges: AppContext, rejected: str, caller_for: Callable[[str], Caller]
) -> None:
    reader = caller_for("reader")
    assert change(reader, rejected, 0, skip_rows=[1]).status_code == 403
    assert reader.get(f"/v1/imports/{rejected}/patch").status_code == 200
    elsewhere = Caller(app.test_client(), edges.keys.create("of records", Role.UPLOADER, datasets=["records"])[0])
    assert elsewhere.get(f"/v1/imports/{rejected}/patch").status_code == 404
    assert change(elsewhere, rejected, 0, skip_rows=[1]).status_code == 404
