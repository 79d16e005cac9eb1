"""How things look: names, numbers, phases, answers, paths."""

from __future__ import annotations

import csv
import io
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.display import STATE_TEXTS, dialect_text, estimate_text, masked, size_text
from pipeline.ledger.models import ImportRecord, Move
from pipeline.settings import Settings
from pipeline.warehouse.query import Answer, Column
from tests.support.formula_cells import FORMULAS, HARMLESS
from web import create_app, session_secret
from web.http.problems import PROBLEM_TYPES, Problem
from web.http.responses import as_download, as_json, as_text
from web.http.sql_files import _csv
from web.http.url_converters import EncodedSlashes
from web.pages import formatting
from web.services.pace import progress_texts
from web.services.stored_findings import _csv_cell

NOW = datetime(2026, 11, 24, 5, 3, 36, tzinfo=UTC)
ONE = ImportRecord(
    id=str(uuid.uuid4()), dataset="places", state=State.QUEUED, filename="a.csv", size_bytes=0, sha256="", bucket="b",
    key="k", etag="", records_total=5, records_valid=5, records_invalid=0, inserted=0, updated=0, unchanged=0, failed=1,
    unprocessed=0, parts_total=0, parts_done=0, findings_errors=1, findings_warnings=0, findings_by_code={}, reason="why",
    created_by=None, created_at=NOW, started_at=None, finished_at=None, queue_position=0,
)  # fmt: skip


def test_numbers_sizes_and_times() -> None:
    assert formatting.number(1234567) == "1,234,567"
    sizes = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 18_220: "18.2 kB", 412_337: "412.3 kB", 2_147_483_648: "2.1 GB"}
    assert {size: size_text(size) for size in sizes} == sizes
    assert size_text(5 * 10**12) == "5.0 TB"
    assert formatting.moment(NOW.astimezone()) == "24 Nov 2026, 05:03:36 UTC"
    assert formatting.moment(None) == "–"
    for seconds, words in (
        (0.04, "0 seconds"),
        (59.9, "59.9 seconds"),
        (61, "1 minute and 1 second"),
        (7325, "2 hours and 2 minutes"),
    ):
        assert formatting.duration(replace(ONE, started_at=NOW, finished_at=NOW + timedelta(seconds=seconds))) == words
    assert formatting.duration(ONE) == "–"


def test_words() -> None:
    assert formatting.words("circular_reference") == "Circular reference"
    assert formatting.words("missing_id") == "Missing ID"
    assert formatting.path(["a", "b"]) == formatting.path(["a", "b", "a"]) == "a → b → a"
    assert formatting.path(["a"]) == "a → a"
    assert formatting.cell("x" * 5000) == "x" * 2048 + "…"
    assert (formatting.cell(None), formatting.cell(True), formatting.cell({"a": [1]})) == ("", "true", '{"a":[1]}')


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_verdict_a_mood_and_phases(state: State) -> None:
    one = replace(ONE, state=state)
    assert formatting.verdict(one).endswith(".")
    assert formatting.mood(state) in ("good", "mixed", "bad", "idle", "busy")
    phases = formatting.phases(one, {str(state), "queued"})
    assert len(phases) == (3 if state is State.DUPLICATE else 6)
    statuses = {phase["status"] for phase in phases}
    assert ("now" in statuses) is (not state.is_final)
    assert (statuses == {"done"}) is (state in (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED, State.DUPLICATE))


def test_messages_and_pages_share_one_table_of_states() -> None:
    assert set(STATE_TEXTS) == set(State)
    assert all(outcome and not outcome.endswith(".") for outcome, _ in STATE_TEXTS.values())


def test_phases_end_where_the_import_did() -> None:
    rejected = formatting.phases(replace(ONE, state=State.REJECTED), {"awaiting_upload", "queued", "validating", "rejected"})
    assert [phase["status"] for phase in rejected] == ["done", "done", "stopped", "ahead", "ahead", "ahead"]


def test_each_phase_that_was_left_says_how_long_it_took() -> None:
    way = [
        ("queued", 0),
        ("validating", 2),
        ("preparing", 65),
        ("loading", 66),
        ("paused", 70),
        ("loading", 80),
        ("succeeded", 90),
    ]
    moves = [Move(NOW + timedelta(seconds=at), None, state, "") for state, at in way]
    done = formatting.phases(replace(ONE, state=State.SUCCEEDED), {state for state, _ in way}, moves)
    assert [phase["took"] for phase in done] == ["", "2 seconds", "1 minute and 3 seconds", "1 second", "24 seconds", ""]
    under_way = formatting.phases(replace(ONE, state=State.LOADING), {"queued"}, moves[:6])
    assert [phase["took"] for phase in under_way] == ["", "2 seconds", "1 minute and 3 seconds", "1 second", "", ""]


def test_a_dry_run_is_done_where_it_ends_and_begins_anew_when_it_is_promoted() -> None:
    been = {"queued", "validating", "validated"}
    ended = formatting.phases(replace(ONE, state=State.VALIDATED), been)
    assert [phase["status"] for phase in ended] == ["done", "done", "done", "ahead", "ahead", "ahead"]
    promoted = formatting.phases(replace(ONE, state=State.QUEUED), been)
    assert [phase["status"] for phase in promoted] == ["done", "now", "ahead", "ahead", "ahead", "ahead"]


def test_a_quarantine_is_told_apart_from_what_the_warehouse_refused() -> None:
    one = replace(ONE, state=State.PARTIALLY_SUCCEEDED, inserted=2, failed=3, quarantined=3)
    assert formatting.verdict(one) == "2 of 5 records were imported; 3 records are in quarantine."
    assert formatting.verdict(replace(one, quarantined=2)) == (
        "2 of 5 records were imported; 2 records are in quarantine and 1 record was refused by the warehouse."
    )
    assert formatting.verdict(replace(one, quarantined=0)) == (
        "2 of 5 records were imported; 3 records were refused by the warehouse."
    )
    dry = replace(one, state=State.VALIDATED)
    assert formatting.verdict(dry) == (
        "Dry run passed, nothing was imported. 2 of 5 records can be imported; 3 would be quarantined."
    )


def test_a_rejection_says_more_where_there_is_more_to_say() -> None:
    rejected = replace(ONE, state=State.REJECTED)
    assert formatting.reason(replace(rejected, reason="1,234 errors")) == ""
    assert formatting.reason(replace(rejected, reason="2 of 5 records have errors; at most 1 may")).startswith("2 of 5")


def test_how_a_file_was_read_and_what_was_asked_for() -> None:
    read = {"format": "csv", "delimiter": ";", "encoding": "utf-8", "compression": "gzip"}
    assert dialect_text(read) == "CSV, semicolon, UTF-8, gzip"
    assert dialect_text({**read, "format": "json", "delimiter": "", "compression": "none"}) == "JSON, UTF-8"
    assert dialect_text({"format": "xlsx", "delimiter": "", "encoding": "", "compression": "none", "sheet": "A\u202e"}) == (
        "Excel, sheet A\\u202e"
    )
    assert dialect_text({}) == ""
    assert formatting.asked(Options()) == ""
    asked = Options(True, OnError.QUARANTINE, 5, 0.1, delimiter="\t", mapping={"Nom": "name", "x": ""})
    assert formatting.asked(asked) == (
        "dry run, quarantine rows with errors, at most 5 records with errors, at most 10% of records with errors,"
        " delimiter: tab, column Nom as name, skip column x"
    )


def test_how_fast_a_load_is() -> None:
    began = datetime.now(UTC) - timedelta(seconds=100)
    moves = [Move(began, "preparing", "loading", "")]
    one = replace(ONE, state=State.LOADING, records_total=10_000, inserted=2000, failed=500, quarantined=500)

    def pace(one: ImportRecord, moves: list[Move]) -> str:
        return str(progress_texts(one, formatting.load_rate(one, moves))["pace"])

    assert pace(one, moves) == "20 records a second, about 6 minutes left"
    assert pace(replace(one, records_total=3000), moves) in {
        f"20 records a second, about {s} seconds left" for s in (24, 25, 26)
    }
    assert pace(replace(one, inserted=0), moves) == ""  # records in quarantine were not loaded
    assert pace(replace(one, state=State.PAUSED), moves) == ""
    assert pace(one, moves * 2) == ""  # it began more than once: the rate is not known
    assert progress_texts(one, 0.0)["pace"] == "No record in the last seconds"
    assert [estimate_text(seconds) for seconds in (0, 59.1, 60, 150, 3600, 7384)] == [
        *("a second", "59 seconds", "a minute", "2 minutes", "an hour", "2 hours")
    ]


def test_progress_is_sent_as_text() -> None:
    one = replace(ONE, state=State.LOADING, records_total=4000, inserted=1500, failed=1, parts_total=2, parts_done=1)
    texts = progress_texts(one, None)
    assert {name: texts[name] for name in ("records", "parts", "left", "pace")} == {
        **{"records": "1,501 of 4,000 records", "parts": "1 of 2 parts", "left": "2,499", "pace": ""}
    }
    assert texts["counts"]["inserted"] == "1,500"
    assert texts["counts"].keys() == one.counts.keys()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("https://example.org/hook", "https://example.org/hook"),
        ("https://me:pw@example.org:8/a?token=x", "https://me:…@example.org:8/a?…"),
        ("https://token@example.org/", "https://…@example.org/"),
        ("https://hooks.example/services/T012345678901234567/b#x", "https://hooks.example/services/…/b?…"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://me:pw@[::1/x", "…"),
        ("http://me:pw@host:port/x", "…"),
        ("me@example.org", "me@example.org"),
        ("<b>", "<b>"),
    ],
)
def test_where_a_message_goes_without_its_secrets(written: str, shown: str) -> None:
    assert masked(written) == shown


# --- answers ---


def test_json_of_any_value(client: Any) -> None:
    values = {"d": Decimal("1.50"), "i": Decimal("3"), "b": b"\xff", "nan": float("nan"), "big": 2**70, "u": uuid.UUID(int=1)}
    document = orjson.loads(as_json({**values, "t": NOW, "list": [(1, None)]}).data)
    assert document == {
        **{"d": 1.5, "i": 3, "b": "\\xff", "nan": "nan", "big": str(2**70), "u": str(uuid.UUID(int=1))},
        **{"t": "2026-11-24T05:03:36+00:00", "list": [[1, None]]},
    }
    assert as_text([1, "x"]) == '[1,"x"]'


def test_a_download_cannot_break_out_of_its_header() -> None:
    with Flask("app").test_request_context():
        header = as_download([], 'a"; filename=evil.exe\r\nX: y', "text/csv").headers["Content-Disposition"]
    assert header == 'attachment; filename="a___filename_evil.exe__X__y"'


@pytest.mark.parametrize("value", FORMULAS, ids=ascii)
def test_formulas_in_files_are_defused(value: str) -> None:
    assert _csv_cell("value", value) == f"'{value}"
    answer = Answer((Column(value, "text"),), [(value,)], truncated=False, seconds=0.0)
    assert list(csv.reader(io.StringIO(_csv(answer, True).decode(), newline=""))) == [[f"'{value}"]] * 2
    assert list(csv.reader(io.StringIO(_csv(answer, False).decode(), newline=""))) == [[value]] * 2


def test_numbers_and_plain_words_stay() -> None:
    for value in (*HARMLESS, 7, None):
        assert _csv_cell("value", value) == value


# --- problems ---


def test_every_kind_of_problem_says_what_to_do() -> None:
    for code, kind in PROBLEM_TYPES.items():
        assert code == code.lower()
        assert 400 <= kind.status < 600
        assert kind.advice.endswith(".")
        assert len(str(Problem(code).detail)) > 20
    assert Problem("busy").headers["Retry-After"]


# --- paths ---


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a%2Fb/c", "/a\0b/c"),
        ("/a%2fb?x=%2F", "/a\0b"),
        ("/%C3%BC%2F", "/ü\0"),
        ("http://host/a%2Fb", "/as it was"),
        ("", "/as it was"),
    ],
)
def test_encoded_slashes_stay_apart(raw: str, path: str) -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return []

    plain = path if "\0" not in path and raw else "/as it was"
    environ = EnvironBuilder(path=plain).get_environ()
    environ["RAW_URI"] = environ["REQUEST_URI"] = raw
    run_wsgi_app(EncodedSlashes(app), environ)
    assert seen["PATH_INFO"].encode("latin-1").decode() == path


# --- the app ---


@pytest.fixture
def client() -> Any:
    app: Flask = create_app(
        Settings(database_url="postgresql://x@127.0.0.1:9/x", secret_key="x", s3_endpoint="http://127.0.0.1:9")
    )
    with app.test_request_context():
        yield app.test_client()


def test_without_a_database_it_lives_and_says_so(client: Any) -> None:
    assert client.get("/healthz").status_code == 200
    answer = client.get("/v1/imports", headers={"Authorization": f"Bearer bk_{'0' * 32}_{'0' * 48}"})
    assert (answer.status_code, answer.json["code"]) == (503, "unreachable")
    assert answer.headers["Retry-After"]
    assert "127.0.0.1" not in answer.text


def test_the_session_secret_is_made_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = session_secret(Settings(home=home))
    assert len(first) == 64
    assert session_secret(Settings(home=home)) == first
    assert [file.name for file in home.iterdir()] == ["session-secret"]
    assert (home / "session-secret").stat().st_mode & 0o777 == 0o600
    assert session_secret(Settings(home=home, secret_key="given")) == "given"
