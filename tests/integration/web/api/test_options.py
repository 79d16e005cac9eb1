"""What an upload may ask for, from outside: parameters, the form, repeated requests, and promoting a dry run."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.temporal_access.options import TemporalAccess
from web.app_context import AppContext

CSV = b"id,parentId,name,kind\nFR,,France,Country\n"
ALL = (
    "dry_run=true&on_error=quarantine&max_errors=5&max_error_ratio=0.1&delimiter=semicolon&force=true"
    "&mapping=%7B%22Nom%22:%22name%22,%22x%22:%22%22%7D"
    "&quote=single&encoding=latin-1&header_row=2&sheet=Data&records_at=data.items&merged=fill&repeated_columns=list"
    "&no_parent_values=0,NULL&parent_by=name&shape=%7B%22kind%22:%22nested%22,%22children%22:%22items%22%7D"
    "&clean=%7B%22trim%22:true%7D"
)
READING: dict[str, Any] = {
    "quote": "'",
    "encoding": "iso8859-1",
    "header_row": 2,
    "sheet": "Data",
    "records_at": "data.items",
    "merged": "fill",
    "repeated_columns": "list",
    "no_parent_values": ("0", "NULL"),
    "parent_by": "name",
    "shape": {"kind": "nested", "children": "items"},
    "clean": {"trim": True},
}
READING_SHOWN = {**READING, "no_parent_values": ["0", "NULL"]}
ASKED = Options(True, OnError.QUARANTINE, 5, 0.1, True, delimiter=";", mapping={"Nom": "name", "x": ""}, **READING)


def options_of(edges: AppContext, import_id: str) -> Options:
    one = edges.ledger.imports.get(import_id)
    assert one is not None
    return one.options


def validated(edges: AppContext, api: Any) -> str:
    """An import whose dry run is over, as the worker leaves it."""
    import_id = str(api.post("/v1/datasets/places/imports?dry_run=true", data=CSV).json["id"])
    edges.ledger.imports.move(import_id, State.VALIDATING, records_total=1, records_valid=1)
    edges.ledger.imports.update(import_id, preview={"inserted": 1, "updated": 0, "unchanged": 0, "moved": 0})
    edges.ledger.imports.move(import_id, State.VALIDATED, unprocessed=1)
    return import_id


def test_every_option_reaches_the_ledger_and_is_shown(api: Any, edges: AppContext) -> None:
    made = api.post(f"/v1/datasets/places/imports?{ALL}", data=CSV)
    assert made.status_code == 202
    assert options_of(edges, made.json["id"]) == ASKED
    assert made.json["dry_run"] is True
    shown = {"on_error": "quarantine", "max_errors": 5, "max_error_ratio": 0.1, "delimiter": ";", "force": True, "without": []}
    shown |= READING_SHOWN
    shown |= {"mapping": {"Nom": "name", "x": ""}, "notify": []}
    assert (made.json["options"], made.json["preview"], made.json["counts"]["quarantined"]) == (shown, None, 0)
    plain = api.post("/v1/datasets/places/imports", data=CSV)
    assert options_of(edges, plain.json["id"]) == Options()
    unset = {"force": False, "without": [], "mapping": {}, "notify": [], "no_parent_values": [], "shape": {}, "clean": {}}
    assert {name: value for name, value in plain.json["options"].items() if value is not None} == unset


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            "dry_run=perhaps",
            "on_error=ignore",
            "max_errors=-1",
            "max_error_ratio=1.1",
            "delimiter=x",
            "delimiter=",
            "quote=ab",
            "encoding=utf-9",
            "header_row=0",
            "header_row=one",
            "header_row=99999999999",
            "encoding=punycode",
            "delimiter=%27&quote=single",
            "merged=yes",
            "repeated_columns=sum",
            "no_parent_values=[1]",
            "shape=levels",
            "clean=[]",
            "dryrun=true",
        ),
        *("mapping=", "mapping=[]", 'mapping={"a": 1}', 'mapping={"a": "nonsense"}', 'mapping={"a": "name", "b": "name"}'),
    ],
)
def test_a_wrong_option_is_refused_and_named(api: Any, edges: AppContext, wrong: str) -> None:
    answer = api.post(f"/v1/datasets/places/imports?{wrong}", data=CSV)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_parameter")
    assert wrong.partition("=")[0] in answer.json["detail"]
    assert edges.ledger.imports.page() == []


@pytest.mark.parametrize("given", ["comma", "%2C", "tab", "%09", "pipe", "|", "%3B"])
def test_a_delimiter_by_name_or_as_it_is(api: Any, edges: AppContext, given: str) -> None:
    made = api.post(f"/v1/datasets/places/imports?delimiter={given}", data=CSV).json
    assert made["options"]["delimiter"] in (",", ";", "\t", "|")


def test_the_same_key_with_other_options_is_another_request(api: Any) -> None:
    def send(query: str) -> Any:
        return api.post(f"/v1/datasets/places/imports{query}", data=CSV, headers={"Idempotency-Key": "k"})

    first, again, other = send("?dry_run=true"), send("?dry_run=1"), send("")
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")


def test_promoting_a_dry_run_puts_it_into_the_queue(api: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[Any] = []
    monkeypatch.setattr(TemporalClient, "announce", lambda self, arrival: announced.append(arrival))
    import_id = validated(edges, api)
    answer = api.post(f"/v1/imports/{import_id}/promote")
    assert (answer.status_code, answer.json["state"], answer.json["dry_run"]) == (202, "queued", False)
    assert answer.json["queue_position"] == 0
    assert (answer.json["started_at"], answer.json["finished_at"], answer.json["counts"]["total"]) == (None, None, 0)
    assert [(one.key, one.import_id) for one in announced] == [(answer.json["source"]["key"], import_id)]
    again = api.post(f"/v1/imports/{import_id}/promote")
    assert (again.status_code, again.json["code"]) == (409, "wrong_state")


@pytest.mark.parametrize("way", [[], [State.VALIDATING], [State.VALIDATING, State.REJECTED], [State.CANCELED]])
def test_only_a_validated_import_can_be_promoted(api: Any, edges: AppContext, way: list[State]) -> None:
    import_id = api.post("/v1/datasets/places/imports?dry_run=true", data=CSV).json["id"]
    for state in way:
        edges.ledger.imports.move(import_id, state)
    answer = api.post(f"/v1/imports/{import_id}/promote")
    assert (answer.status_code, answer.json["code"]) == (409, "wrong_state")
    assert options_of(edges, import_id).dry_run


def test_promoting_needs_an_uploader_and_an_import(api: Any, caller_for: Any, edges: AppContext) -> None:
    import_id = validated(edges, api)
    assert caller_for("reader").post(f"/v1/imports/{import_id}/promote").status_code == 403
    assert api.post("/v1/imports/nonsense/promote").status_code == 404


def test_what_is_promoted_while_temporal_is_away_waits_in_the_queue(api: Any, edges: AppContext) -> None:
    object.__setattr__(edges, "orchestrator", TemporalClient(TemporalAccess("127.0.0.1:9", "nowhere"), "q"))
    assert api.post(f"/v1/imports/{validated(edges, api)}/promote").json["state"] == "queued"


# --- pages ---


def token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_the_form_asks_for_the_same(browser: FlaskClient, edges: AppContext) -> None:
    page = browser.get("/").text
    assert all(f'name="{name}"' in page for name in ("dry_run", "on_error", "delimiter"))
    fields = {
        "csrf_token": token(page),
        "dataset": "places",
        "dry_run": "true",
        "on_error": "quarantine",
        "delimiter": "semicolon",
    }

    answer = browser.post("/upload", data={**fields, "file": (io.BytesIO(CSV), "a.csv")})
    assert answer.status_code == 303
    asked = options_of(edges, answer.headers["Location"].rpartition("/")[2])
    assert asked == Options(dry_run=True, on_error=OnError.QUARANTINE, delimiter=";")
    left = {"csrf_token": token(page), "dataset": "places", "on_error": "", "delimiter": ""}
    answer = browser.post("/upload", data={**left, "file": (io.BytesIO(CSV), "a.csv")})
    assert options_of(edges, answer.headers["Location"].rpartition("/")[2]) == Options()
    wrong = {**left, "on_error": "ignore"}
    assert browser.post("/upload", data={**wrong, "file": (io.BytesIO(CSV), "a.csv")}).status_code == 422


def test_the_page_of_a_dry_run_shows_its_counts_and_asks_before_it_promotes(
    browser: FlaskClient, api: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TemporalClient, "announce", lambda self, arrival: None)
    import_id = validated(edges, api)
    page = browser.get(f"/imports/{import_id}").text
    for words in ("Dry run", "What an import would change", "nothing was imported", "Import this file?"):
        assert words in page
    assert browser.post(f"/imports/{import_id}/promote", data={}).status_code == 403
    answer = browser.post(f"/imports/{import_id}/promote", data={"csrf_token": token(page)})
    assert answer.status_code == 303
    one = edges.ledger.imports.get(import_id)
    assert one is not None
    assert one.state is State.QUEUED
    assert "Import this file?" not in browser.get(f"/imports/{import_id}").text
