"""The command line: exit codes, what goes to which stream, JSON, and files that try to play tricks with a terminal."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from rich.console import Console
from typer.testing import CliRunner, Result

from pipeline.cli import keys
from pipeline.cli.app import OF_STATE, Exit, in_commands
from pipeline.cli.commands import app
from pipeline.cli.progress import standing
from pipeline.cli.terminal import findings_view, groups_view, import_table, rows_table
from pipeline.client import http
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.display import visible
from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.option_texts import PARSERS

IMPORT_ID = "01990b3c-0000-7000-8000-000000000001"
EVIL = "a\x1b[31mred\x1b]0;title\x07\u202ecba\x9b2J [bold]x[/bold] :smile: \ud800"
COMMANDS = [
    *(
        "upload",
        "promote",
        "status",
        "watch",
        "list",
        "cancel",
        "validate",
        "preview",
        "audit",
        "errors",
        "report",
        "results",
        "sql",
    ),
    *("pause", "resume", "retry", "fix", "template", "export"),
    *("settings", "up", "doctor", "support-bundle", "reconcile", "clean", "worker", "web", "migrate", "rollout"),
    *("key", "connect", "dataset", "dbt", "gx", "audit-log", "backup", "restore"),
]

Run = Callable[..., Result]


@pytest.fixture
def surroundings(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of our own, and the test's server as the one that the settings name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BULKHEAD_URL", httpserver.url_for(""))
    monkeypatch.setenv("BULKHEAD_API_KEY", "bk_secret")
    monkeypatch.setattr(http, "pause", lambda state: 0.0)
    yield tmp_path


@pytest.fixture
def run(surroundings: Path) -> Run:
    runner = CliRunner()
    return lambda *args, **options: runner.invoke(app, [str(arg) for arg in args], **options)


@pytest.fixture
def file(surroundings: Path) -> Path:
    path = surroundings / "some.csv"
    path.write_text("id,parentId\n1,\n")
    return path


def an_import(state: str = "queued", **counts: int) -> dict[str, Any]:
    names = ("total", "valid", "invalid", "inserted", "updated", "unchanged", "failed", "unprocessed")
    link = f"http://127.0.0.1/v1/imports/{IMPORT_ID}"
    return {
        "id": IMPORT_ID,
        "dataset": "records",
        "state": state,
        "reason": "",
        "source": {"filename": "some.csv", "size_bytes": 14, "sha256": "", "key": ""},
        "counts": {**dict.fromkeys(names, 0), **counts},
        "parts": {"total": 0, "done": 0},
        "findings": {"errors": 0, "warnings": 0, "by_code": {}},
        "queue_position": None,
        "created_at": "2026-11-24T04:00:00Z",
        "started_at": None,
        "finished_at": None,
        "links": {"self": link, "errors": f"{link}/errors", "report": f"{link}/report/", "results": f"{link}/results"},
    }


def answers(httpserver: HTTPServer, *states: str) -> None:
    """The server takes an upload, and then shows the import in these states, one after the other."""
    path = "/v1/datasets/records/imports"
    httpserver.expect_ordered_request(path, method="POST").respond_with_json(an_import(), 202)
    for state in states:
        httpserver.expect_ordered_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import(state))


def shows(httpserver: HTTPServer, shown: dict[str, Any]) -> None:
    """The server has this import."""
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(shown)


# --- exit codes ---


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("succeeded", 0),
        ("duplicate", 0),
        ("failed", 1),
        ("expired", 1),
        ("rejected", 3),
        ("partially_succeeded", 4),
        ("canceled", 5),
    ],
)
@pytest.mark.parametrize("command", ["upload", "watch"])
def test_the_outcome_is_the_exit_code(
    httpserver: HTTPServer, run: Run, file: Path, command: str, state: str, code: int
) -> None:
    if command == "upload":
        answers(httpserver, state)
        result = run("upload", file, "--wait")
    else:
        httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import(state))
        result = run("watch", IMPORT_ID)
    assert result.exit_code == code, result.output


def test_every_final_state_has_a_code() -> None:
    assert set(OF_STATE) == {state for state in State if state.is_final}


def test_the_codes_are_what_scripts_rely_on() -> None:
    assert [int(code) for code in Exit] == [0, 1, 2, 3, 4, 5, 6, 7, 130]


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["upload"],
        ["upload", "no-such-file.csv"],
        ["upload", "."],
        ["upload", "/dev/null", "--timeout", "5"],
        ["validate", "no-such-file.csv"],
        ["validate", "/dev/null", "--delimiter", "colon"],
        ["status"],
        ["errors", IMPORT_ID, "--format", "xml"],
        ["errors", IMPORT_ID, "--output", "x"],
        ["errors", IMPORT_ID, "--format", "xlsx", "--code", "x", "--output", "x"],
        ["sql", "select 1", "--output", "x"],
        ["key", "create", "me", "--role", "king"],
        ["key", "revoke", "no-uuid"],
        ["up", "--port", "70000"],
        ["pause"],
        ["resume"],
        ["retry", IMPORT_ID, "no-such-file.csv"],
        ["retry", IMPORT_ID, "/dev/null", "--only", "failed"],
        ["retry", IMPORT_ID, "--timeout", "5"],
        ["retry", IMPORT_ID, "--patch", "--only", "failed"],
        ["fix", IMPORT_ID, "--set", "parentId=FR"],
        ["fix", IMPORT_ID, "--set", "7:parentId"],
        ["fix", IMPORT_ID, "--undo", "x"],
        ["fix", IMPORT_ID, "--wait"],
        ["fix", IMPORT_ID, "--from", "no-such-file.csv"],
    ],
)
def test_usage(run: Run, args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr


@pytest.mark.parametrize(("named", "meant"), [("semicolon", ";"), ("tab", "\t"), ("|", "|")])
def test_the_delimiter_goes_along(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, named: str, meant: str) -> None:
    given: list[object] = []

    def stop(_: object, *args: object, **__: object) -> None:
        given.extend(args)
        raise InvalidRequest("That is enough.")

    monkeypatch.setattr("pipeline.sandbox.process.run", stop)
    assert run("validate", str(file), "--delimiter", named).exit_code == 1
    assert Options(dry_run=True, delimiter=meant) in given


def test_time_is_over(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("loading"))
    result = run("watch", IMPORT_ID, "--timeout", "0.2")
    assert result.exit_code == 6
    assert result.stdout == ""
    assert "still loading" in result.stderr
    assert f"bulkhead watch {IMPORT_ID}" in result.stderr


def test_a_server_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_URL", "http://127.0.0.1:9")
    result = run("status", IMPORT_ID)
    assert result.exit_code == 7
    assert result.stdout == ""
    assert "bulkhead up" in result.stderr
    assert "Traceback" not in result.output


def _texts(file: Path) -> Iterator[str]:
    """The texts in a module that may reach a user: all but the docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


def test_what_the_server_says_of_its_api_is_not_for_those_who_type_commands() -> None:
    root = Path(__file__).resolve().parents[3]
    texts = {
        text
        for folder in ("web", "pipeline/warehouse/query")
        for file in (root / folder).rglob("*.py")
        for text in _texts(file)
    }
    route = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) /|Authorization: Bearer")
    said = {text for text in texts if route.search(text)}
    assert len(said) > 5
    assert [text for text in said if route.search(in_commands(text))] == []
    kept = "There is no dataset 'x'. Datasets here: places, records. Did you mean 1.5 e. g. 'y'?"
    assert in_commands(f"{kept} GET /v1/datasets lists all datasets.") == kept


@pytest.mark.parametrize(
    ("code", "detail", "command"),
    [
        ("unknown_import", "There is no import 'x'. GET /v1/imports lists all imports.", "bulkhead list"),
        ("query_refused", "a.b is not a table of the warehouse. GET /v1/datasets lists all datasets.", "bulkhead sql"),
        ("not_found", "There is nothing at /v1/imports/x. See /openapi.json for all addresses.", "Not found"),
    ],
)
def test_a_refusal_names_commands_and_no_routes(httpserver: HTTPServer, run: Run, code: str, detail: str, command: str) -> None:
    problem = {"code": code, "title": "Not found", "detail": detail}
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(problem, 404)
    result = run("status", IMPORT_ID)
    assert result.exit_code == 1
    assert command in result.stderr
    assert "GET" not in result.stderr and "/v1/" not in result.stderr and "/openapi" not in result.stderr


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_a_refusal_is_one_sentence(httpserver: HTTPServer, run: Run, status: int) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json({"detail": "That is why."}, status)
    result = run("status", IMPORT_ID)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "bulkhead: That is why." in result.stderr
    assert ("BULKHEAD_API_KEY" in result.stderr) == (status in (401, 403))


def test_settings_that_cannot_be_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_PORT", "many")
    result = run("status", IMPORT_ID)
    assert result.exit_code == 1
    assert "BULKHEAD_PORT" in result.stderr


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:hidden@h/x", "postgresql://u:hidden@127.0.0.1:port/x", "http://x"])
def test_what_is_no_address_of_a_database_is_said_without_its_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    for args in (["migrate"], ["key", "list"], ["validate", "/dev/null"], ["worker"]):
        result = run(*args)
        assert result.exit_code == 1, result.output
        assert "DATABASE_URL: Value error, it is not of the form postgresql://" in " ".join(result.stderr.split())
        assert "hidden" not in result.output


def test_a_worker_without_temporal_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:x@127.0.0.1:9/x")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr("pipeline.sandbox.process.start", lambda: None)
    monkeypatch.setattr("pipeline.logs.configure", lambda form: None)  # this process has other tests to run
    result = run("worker")
    assert result.exit_code == 7, result.output
    assert "Temporal does not answer at 127.0.0.1:9" in result.stderr


def test_an_env_file_that_is_no_text_is_said(run: Run, surroundings: Path) -> None:
    (surroundings / ".env").write_bytes(b"\xff\xfe")
    result = run("list")
    assert result.exit_code == 1
    assert "is not UTF-8 text" in " ".join(result.stderr.split())


def test_what_the_system_refuses_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "x" * 300
    for args in (["upload", name], ["validate", name]):
        result = run(*args)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("bulkhead: xxx")
        assert "File name too long" in " ".join(result.stderr.split())
    monkeypatch.setenv("BULKHEAD_HOME", name)
    assert "File name too long" in " ".join(run("list").stderr.split())


def test_no_database_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for args in (["migrate"], ["key", "list"]):
        result = run(*args)
        assert result.exit_code == 1
        assert "DATABASE_URL" in result.stderr


def test_a_key_for_a_dataset_that_is_not_there_is_refused(run: Run) -> None:
    result = run("key", "create", "me", "--dataset", "places", "--dataset", "plaices")
    assert result.exit_code == 1
    assert "There is no dataset 'plaices'. Did you mean places? Datasets here: places, records." in result.stderr
    assert result.stdout == ""


def test_a_database_that_is_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    for args in (["migrate"], ["key", "list"]):
        result = run(*args)
        assert result.exit_code == 7, result.output
        assert "PostgreSQL does not answer" in result.stderr


# --- homes ---


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("some.csv", "Not a directory"),
        ("some.csv/home", "Not a directory"),
        ("/proc/home", "/proc/home: No such file"),
        ("/proc", "/proc"),  # cannot be written, also not by root
        ("x/" * 300, "bytes long"),
        ("damaged", "stack.json is damaged"),
    ],
)
def test_a_home_that_cannot_be_used_is_said(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, home: str, said: str
) -> None:
    Path("damaged").mkdir()
    Path("damaged/stack.json").write_text("{")
    monkeypatch.setenv("BULKHEAD_HOME", home)
    result = run("up")
    assert result.exit_code == 1, result.exception
    assert said in result.stderr
    assert "Set BULKHEAD_HOME" in " ".join(result.stderr.split()) or "set BULKHEAD_HOME" in " ".join(result.stderr.split())
    assert result.stdout == ""


# --- streams ---


def test_upload_prints_the_id_and_nothing_else(httpserver: HTTPServer, run: Run, file: Path) -> None:
    answers(httpserver, "queued", "validating", "loading", "succeeded")
    result = run("upload", file, "--wait")
    assert result.stdout == f"{IMPORT_ID}\n"
    said = [line for line in ("queued", "validating", "loading", "succeeded") if line in result.stderr]
    assert said == ["queued", "validating", "loading", "succeeded"]


def test_upload_without_waiting(httpserver: HTTPServer, run: Run, file: Path) -> None:
    answers(httpserver)
    result = run("upload", file)
    assert result.exit_code == 0
    assert result.stdout == f"{IMPORT_ID}\n"
    assert f"bulkhead watch {IMPORT_ID}" in result.stderr


def test_json_is_one_document(httpserver: HTTPServer, run: Run, file: Path) -> None:
    answers(httpserver, "validating", "rejected")
    result = run("upload", file, "--wait", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["state"] == "rejected"

    httpserver.clear()
    httpserver.expect_request("/v1/imports").respond_with_json({"items": [an_import()], "next_cursor": None})
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("succeeded"))
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/cancel", method="POST").respond_with_json(an_import())
    assert json.loads(run("list", "--json").stdout)[0]["id"] == IMPORT_ID
    assert json.loads(run("status", IMPORT_ID, "--json").stdout)["id"] == IMPORT_ID
    assert json.loads(run("watch", IMPORT_ID, "--json").stdout)["id"] == IMPORT_ID
    assert json.loads(run("cancel", IMPORT_ID, "--json").stdout)["id"] == IMPORT_ID


def test_what_an_upload_asks_for_is_sent(httpserver: HTTPServer, run: Run, file: Path) -> None:
    answers(httpserver)
    asked = ("--dry-run", "--on-error", "quarantine", "--max-errors", "5", "--max-error-ratio", "0.1", "--delimiter", "tab")
    asked += ("--map", "Nom=name", "--map", "a=b=")
    assert run("upload", file, *asked).exit_code == 0
    [(request, _)] = httpserver.log
    assert request.args.to_dict() == {
        **{"filename": "some.csv", "dry_run": "true", "on_error": "quarantine", "max_errors": "5", "max_error_ratio": "0.1"},
        "mapping": '{"Nom": "name", "a=b": ""}',
        "delimiter": "\t",
    }


READING = {  # option: what is written, and what is sent for it
    "delimiter": ("\\x01", "\x01"),
    "quote": ("single", "'"),
    "encoding": ("Shift-JIS", "shift_jis"),
    "header_row": ("4", "4"),
    "sheet": ("Data 2", "Data 2"),
    "records_at": (r"data.a\.b", r"data.a\.b"),
    "merged": ("fill", "fill"),
    "repeated_columns": ("number", "number"),
    "no_parent_values": (r"0, NULL,\N", r'["0", "NULL", "\\N"]'),
    "parent_by": ("id,name", "id,name"),
    "shape": ('{"kind":"path","column":"p"}', '{"kind": "path", "column": "p"}'),
    "clean": ('{"decimal":","}', '{"decimal": ","}'),
}


def test_every_option_of_reading_is_among_them() -> None:
    assert list(READING) == list(PARSERS)


@pytest.mark.parametrize("name", READING)
def test_an_option_of_reading_is_sent(httpserver: HTTPServer, run: Run, file: Path, name: str) -> None:
    answers(httpserver)
    written, sent = READING[name]
    result = run("upload", file, f"--{name.replace('_', '-')}", written)
    assert result.exit_code == 0, result.output
    [(request, _)] = httpserver.log
    assert request.args.to_dict() == {"filename": "some.csv", name: sent}
    assert PARSERS[name](sent) == PARSERS[name](written)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--on-error", "ignore"),
        ("--max-errors", "-1"),
        ("--max-error-ratio", "2"),
        ("--delimiter", "x"),
        ("--map", ""),
        ("--quote", "ab"),
        ("--encoding", "utf-9"),
        ("--header-row", "0"),
        ("--merged", "yes"),
        ("--repeated-columns", "sum"),
        ("--no-parent-values", "[1]"),
        ("--shape", "levels"),
        ("--clean", "[]"),
        ("--map", "x"),
    ],
)
def test_what_no_upload_can_ask_for_is_refused_here(run: Run, file: Path, wrong: tuple[str, str]) -> None:
    assert run("upload", file, *wrong).exit_code == 2
    assert run("validate", file, *wrong).exit_code == 2


def test_a_dry_run_says_what_a_load_would_do_and_how_to_load(httpserver: HTTPServer, run: Run, file: Path) -> None:
    changes = {"inserted": 1200, "updated": 2, "unchanged": 0, "moved": 1}
    ended = {**an_import("validated", total=1202, valid=1202, unprocessed=1202), "dry_run": True, "preview": changes}
    httpserver.expect_request("/v1/datasets/records/imports", method="POST").respond_with_json(an_import(), 202)
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(ended)
    result = run("upload", file, "--dry-run", "--wait")
    assert result.exit_code == 0
    assert result.stdout == IMPORT_ID + "\n"
    assert "insert 1,200, update 2 (1 to another parent), leave 0 unchanged" in result.stderr
    assert f"bulkhead promote {IMPORT_ID}" in result.stderr


def test_promote(httpserver: HTTPServer, run: Run) -> None:
    promote = httpserver.expect_request
    promote(f"/v1/imports/{IMPORT_ID}/promote", method="POST").respond_with_json(an_import(), 202)
    promote(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("partially_succeeded", total=2, failed=1, quarantined=1))
    assert run("promote", IMPORT_ID).exit_code == 0
    waited = run("promote", IMPORT_ID, "--wait")
    assert (waited.exit_code, waited.stdout) == (4, IMPORT_ID + "\n")
    assert "1 quarantined" in waited.stderr
    assert run("promote", IMPORT_ID, "--timeout", "1").exit_code == 2


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_what_is_asked_of_an_import(httpserver: HTTPServer, run: Run, verb: str) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/{verb}", method="POST").respond_with_json(an_import("loading"), 202)
    result = run(verb, IMPORT_ID)
    assert (result.exit_code, result.stdout) == (0, f"{IMPORT_ID} loading\n")
    assert json.loads(run(verb, IMPORT_ID, "--json").stdout)["id"] == IMPORT_ID


def test_retry_of_the_failed_records_as_they_are(httpserver: HTTPServer, run: Run) -> None:
    path = f"/v1/imports/{IMPORT_ID}/retry"
    httpserver.expect_request(path, method="POST").respond_with_json(an_import(), 202)
    assert run("retry", IMPORT_ID, "--only", "unprocessed").stdout == IMPORT_ID + "\n"
    [(request, _)] = httpserver.log
    assert (request.args["only"], request.get_data()) == ("unprocessed", b"")
    assert request.headers["Idempotency-Key"]


def test_retry_with_a_corrected_file(httpserver: HTTPServer, run: Run, file: Path) -> None:
    path = f"/v1/imports/{IMPORT_ID}/retry"
    httpserver.expect_request(path, method="POST").respond_with_json(an_import(), 202)
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("partially_succeeded", failed=1))
    result = run("retry", IMPORT_ID, file, "--wait")
    assert result.exit_code == 4
    assert f"bulkhead retry {IMPORT_ID}" in result.stderr
    request = httpserver.log[0][0]
    assert (request.args["filename"], request.get_data()) == ("some.csv", b"id,parentId\n1,\n")


def test_force_is_handed_on_and_a_duplicate_says_what_it_is(httpserver: HTTPServer, run: Run, file: Path) -> None:
    known = {**an_import("duplicate"), "reason": "Import 1 has loaded this very content."}
    httpserver.expect_request("/v1/datasets/records/imports", method="POST").respond_with_json(an_import(), 202)
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(known)
    result = run("upload", file, "--force", "--wait")
    assert result.exit_code == 0
    assert httpserver.log[0][0].args["force"] == "true"
    assert "has loaded this very content" in result.stderr


def test_what_is_no_dry_run_cannot_be_promoted(httpserver: HTTPServer, run: Run) -> None:
    said = {"code": "wrong_state", "detail": "The import is rejected."}
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/promote", method="POST").respond_with_json(said, 409)
    result = run("promote", IMPORT_ID)
    assert result.exit_code == 1
    assert "The import is rejected." in result.stderr


def test_upload_names_recipients(httpserver: HTTPServer, run: Run, file: Path) -> None:
    answers(httpserver)
    assert run("upload", file, "--notify", "me@example.org", "--notify", "https://example.org/hook").exit_code == 0
    [(request, _)] = httpserver.log
    assert request.args["notify"] == "me@example.org,https://example.org/hook"
    refused = run("upload", file, "--notify", "nobody")
    assert refused.exit_code == 2
    assert "'nobody' is neither" in " ".join(refused.stderr.split())


def test_upload_from_stdin(httpserver: HTTPServer, run: Run) -> None:
    answers(httpserver)
    assert run("upload", "-", "--filename", "some.json", input=b"[]").exit_code == 0
    [(request, _)] = httpserver.log
    assert request.args["filename"] == "some.json"
    assert request.headers["Transfer-Encoding"] == "chunked"


def test_upload_from_a_pipe_is_not_taken_for_an_empty_file(httpserver: HTTPServer, run: Run, surroundings: Path) -> None:
    answers(httpserver)
    pipe = surroundings / "pipe.csv"
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/sh", "-c", f"echo id,parentId > {pipe}"]):
        result = run("upload", pipe)
    assert result.exit_code == 0, result.output
    [(request, _)] = httpserver.log
    assert request.args["filename"] == "pipe.csv"
    assert "Content-Length" not in request.headers


def test_list_shows_what_it_was_asked_for(httpserver: HTTPServer, run: Run) -> None:
    shown = [an_import("rejected") for _ in range(30)]
    httpserver.expect_request("/v1/imports", query_string={"dataset": "records", "state": "rejected"}).respond_with_json(
        {"items": shown, "next_cursor": None}
    )
    result = run("list", "-d", "records", "--state", "rejected", "--limit", "5")
    assert result.exit_code == 0
    assert result.stdout.count(IMPORT_ID) == 5


# --- findings, reports, results ---


def a_finding(row: int, **more: Any) -> dict[str, Any]:
    finding = dict.fromkeys(("line", "column", "value", "hint", "related", "cycle"))
    return {"code": "missing_parent", "severity": "error", "message": "No such parent.", "row": row, **finding, **more}


def a_group(count: int, **more: Any) -> dict[str, Any]:
    first = [{"id": None, **a_finding(row, **more)} for row in range(1, min(count, 5) + 1)]
    said = {name: first[0][name] for name in ("code", "severity", "column", "message", "hint")}
    return {**said, "kind": "text", "count": count, "first": first}


def test_errors_in_groups(httpserver: HTTPServer, run: Run) -> None:
    groups = [a_group(1_000_000, value="XX", hint="Add it."), a_group(1, code="circular_reference", cycle=["a", "b", "a"])]
    found = {"items": groups, "groups": 2, "total": 1_000_001}
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/errors/groups").respond_with_json(found)
    result = run("errors", IMPORT_ID)
    assert result.exit_code == 0
    assert re.search(
        r"1000000 +record 1, record 2, record 3, record 4, record 5, … +missing_parent +XX +No such parent\.", result.stdout
    )
    assert re.search(r"1 +record 1 +circular_reference .* a → b → a", result.stdout)
    assert "missing_parent: Add it." in result.stdout
    assert "1,000,001 findings. All of them: bulkhead errors" in result.stderr


def test_every_hint_is_printed_with_its_rows_where_those_of_one_code_differ(httpserver: HTTPServer, run: Run) -> None:
    groups = [
        a_group(1, hint="Did you mean FR?"),
        a_group(7, hint="Add the parent."),
        a_group(1, code="missing_id", hint="Give an id."),
        a_group(2, code="missing_id", hint="Give an id."),
    ]
    found = {"items": groups, "groups": 4, "total": 11}
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/errors/groups").respond_with_json(found)
    hints = [line for line in run("errors", IMPORT_ID).stdout.splitlines() if ": " in line]
    assert hints == [
        "missing_parent (record 1): Did you mean FR?",
        "missing_parent (records 1, 2, 3, 4, 5): Add the parent.",
        "missing_id: Give an id.",
    ]


def test_errors_as_a_list_if_they_were_not_grouped(httpserver: HTTPServer, run: Run) -> None:
    none = {"items": [], "groups": 0, "total": 0}
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/errors/groups").respond_with_json(none)
    items = [a_finding(row) for row in range(1, 61)]
    items[0] = a_finding(1, code="circular_reference", cycle=["a", "b", "a"])
    page = {"items": items, "next_cursor": "more", "total": 1234}
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/errors").respond_with_json(page)
    result = run("errors", IMPORT_ID)
    assert result.exit_code == 0
    assert "a → b → a" in result.stdout
    assert result.stdout.count("missing_parent") == 49
    assert "50 of 1,234 findings" in result.stderr


def test_errors_as_a_file(httpserver: HTTPServer, run: Run, surroundings: Path) -> None:
    content = b"code,row\r\nmissing_parent,1\r\n"
    httpserver.expect_request(
        f"/v1/imports/{IMPORT_ID}/errors", query_string={"format": "csv", "code": "missing_parent"}
    ).respond_with_data(content)
    args = ("errors", IMPORT_ID, "--format", "csv", "--code", "missing_parent")
    result = run(*args)
    assert result.exit_code == 0
    assert result.stdout_bytes == content
    assert run(*args, "--output", "sub/findings.csv").stdout == ""
    assert (surroundings / "sub" / "findings.csv").read_bytes() == content


def test_a_download_that_fails_leaves_nothing(httpserver: HTTPServer, run: Run, surroundings: Path) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/failed").respond_with_json({"detail": "no"}, 404)
    assert run("results", IMPORT_ID, "--output", "failed.csv").exit_code == 1
    assert list(surroundings.iterdir()) == []


def test_a_file_that_cannot_be_written_is_said(httpserver: HTTPServer, run: Run, surroundings: Path) -> None:
    shows(httpserver, an_import("partially_succeeded", total=2, inserted=1, failed=1))
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/failed").respond_with_data("id\n")
    (surroundings / "taken").touch()
    result = run("results", IMPORT_ID, "--output", "taken/failed.csv")
    assert result.exit_code == 1
    assert "Cannot write" in result.stderr
    assert "Traceback" not in result.output


def test_of_a_rejected_import_no_record_was_processed(httpserver: HTTPServer, run: Run) -> None:
    shows(httpserver, an_import("rejected", total=3, invalid=3, unprocessed=3))
    for form in ("native", "json", "csv"):
        result = run("results", IMPORT_ID, "--format", form)
        assert (result.exit_code, result.stdout) == (3, "")
        assert "No record was processed" in result.stderr
        assert f"bulkhead errors {IMPORT_ID}" in result.stderr
        assert f"bulkhead results {IMPORT_ID} --kind unprocessed" in result.stderr
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/unprocessed").respond_with_data("id,row\na,1\n")
    result = run("results", IMPORT_ID, "--kind", "unprocessed")
    assert (result.exit_code, result.stdout) == (0, "id,row\na,1\n")


def test_a_file_of_results_without_rows_is_explained(httpserver: HTTPServer, run: Run) -> None:
    shows(httpserver, an_import("succeeded", total=3, inserted=3))
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/failed").respond_with_data("id,row\n")
    result = run("results", IMPORT_ID)
    assert (result.exit_code, result.stdout) == (0, "id,row\n")
    assert f"No record of import {IMPORT_ID} has failed; it is succeeded." in " ".join(result.stderr.split())


def test_report_prints_its_address(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("rejected"))
    assert run("report", IMPORT_ID).stdout == f"http://127.0.0.1/v1/imports/{IMPORT_ID}/report/\n"


def test_report_of_an_import_that_is_not_there(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json({"detail": "There is none."}, 404)
    assert run("report", IMPORT_ID).exit_code == 1


def test_report_is_downloaded(httpserver: HTTPServer, run: Run, surroundings: Path) -> None:
    base = f"/v1/imports/{IMPORT_ID}"
    httpserver.expect_request(f"{base}/report/").respond_with_data('<a href="/imports/x"></a>', content_type="text/html")
    for form in ("csv", "json", "parquet", "xlsx"):
        httpserver.expect_request(f"{base}/errors", query_string={"format": form}).respond_with_data(form)
    result = run("report", IMPORT_ID, "-o", "kept")
    assert result.stdout == "kept/index.html\n"
    back = httpserver.url_for("/imports/x")
    assert (surroundings / "kept" / "index.html").read_text() == f'<a href="{back}"></a>', "its links lead to the server"
    assert {path.name for path in (surroundings / "kept").iterdir()} == {
        "index.html",
        "findings.csv",
        "findings.json",
        "findings.parquet",
        "findings.xlsx",
    }


# --- sql ---


@pytest.fixture
def rows(httpserver: HTTPServer) -> None:
    answer = {
        "columns": [{"name": "id", "type": "text"}, {"name": "n", "type": "int8"}],
        "rows": [["FR", 1], [EVIL[:-1], None]],
        "truncated": True,
    }
    httpserver.expect_request("/v1/query", method="POST", query_string="").respond_with_json(answer)
    httpserver.expect_request("/v1/query", method="POST", query_string="format=csv").respond_with_data("id,n\nFR,1\n")
    httpserver.expect_request("/v1/query", method="POST", query_string="format=parquet").respond_with_data(b"PAR1\xff")


def test_sql(run: Run, rows: None, surroundings: Path) -> None:
    table = run("sql", "select 1")
    assert table.exit_code == 0
    assert re.search(r"FR +1", table.stdout)
    assert "more rows than these 2" in table.stderr
    assert json.loads(run("sql", "select 1", "--format", "json").stdout) == [
        {"id": "FR", "n": 1},
        {"id": EVIL[:-1], "n": None},
    ]
    assert list(csv.reader(io.StringIO(run("sql", "select 1", "--format", "csv").stdout))) == [["id", "n"], ["FR", "1"]]
    assert run("sql", "select 1", "--format", "parquet").stdout_bytes == b"PAR1\xff"
    assert run("sql", "select 1", "--format", "json", "-o", "rows.json").exit_code == 0
    assert json.loads((surroundings / "rows.json").read_text())[0]["id"] == "FR"


def test_json_everywhere(httpserver: HTTPServer, run: Run, rows: None, surroundings: Path) -> None:
    base = f"/v1/imports/{IMPORT_ID}"
    shows(httpserver, an_import("partially_succeeded", total=2, inserted=1, failed=1))
    for path in (f"{base}/errors", f"{base}/results/failed", "/v1/datasets/places/records"):
        httpserver.expect_request(path, query_string={"format": "json"}).respond_with_json([{"id": "a"}])
    for args in (["errors", IMPORT_ID], ["results", IMPORT_ID], ["export", "places"]):
        assert json.loads(run(*args, "--json").stdout) == [{"id": "a"}], args
        assert run(*args, "--json", "--format", "json").exit_code == 0
        assert run(*args, "--json", "--format", "parquet").exit_code == 2
    assert json.loads(run("sql", "select 1", "--json").stdout)[0] == {"id": "FR", "n": 1}
    link = f"http://127.0.0.1/v1/imports/{IMPORT_ID}/report/"
    assert json.loads(run("report", IMPORT_ID, "--json").stdout) == {"id": IMPORT_ID, "report": link}
    columns = json.loads(run("template", "places", "--json").stdout)["columns"]
    assert columns[0] == {"name": "id", "type": "text", "required": True}


SILENT = {"worker", "web", "key", "connect", "dataset", "audit-log"}
"""Commands that print nothing on stdout: processes, and what holds other commands."""


def test_every_command_that_prints_takes_json() -> None:
    import typer

    root: Any = typer.main.get_command(app)
    held = [root.commands[name].commands for name in ("key", "connect", "dataset", "audit-log")]
    commands = {name: one for some in (root.commands, *held) for name, one in some.items()}
    takes = {name for name, one in commands.items() if any("--json" in parameter.opts for parameter in one.params)}
    assert takes == commands.keys() - SILENT


LOGIN = {
    "id": "01990b3c-0000-7000-8000-000000000000",
    "user": "bulkhead_login_1",
    "label": "psql",
    "owner": {"kind": "key", "id": "1", "name": "me"},
    "datasets": None,
    "expires_at": "2026-03-01T08:00:00+00:00",
    "revoked_at": None,
}


def test_connect(httpserver: HTTPServer, run: Run) -> None:
    made = {**LOGIN, "password": "p", "host": "db", "url": "postgresql://bulkhead_login_1:p@db/x"}
    httpserver.expect_request("/v1/database-logins", method="POST", json={"label": "psql", "days": 7}).respond_with_json(made)
    httpserver.expect_request("/v1/database-logins", method="GET").respond_with_json({"items": [LOGIN], "next_cursor": None})
    httpserver.expect_request(f"/v1/database-logins/{LOGIN['id']}", method="DELETE").respond_with_data("", status=204)
    created = run("connect", "create", "psql", "--days", "7")
    assert (created.stdout, created.exit_code) == ("postgresql://bulkhead_login_1:p@db/x\n", 0), "ready for psql"
    assert "shown only once" in created.stderr and "until 2026-03-01 08:00 UTC" in created.stderr
    assert json.loads(run("connect", "create", "psql", "--days", "7", "--json").stdout) == made
    assert "bulkhead_login_1" in run("connect", "list").stdout
    assert json.loads(run("connect", "list", "--json").stdout) == [LOGIN]
    revoked = run("connect", "revoke", str(LOGIN["id"]), "--json")
    assert json.loads(revoked.stdout) == {"id": LOGIN["id"], "revoked": True}
    for wrong in (["create", "psql", "--days", "0"], ["create", "psql", "--days", "91"], ["revoke", "no-uuid"], ["create"]):
        assert run("connect", *wrong).exit_code == 2, wrong


def test_export(httpserver: HTTPServer, run: Run, surroundings: Path) -> None:
    path = "/v1/datasets/places/records"
    httpserver.expect_request(path, query_string={"format": "csv"}).respond_with_data("id\r\nFR\r\n")
    httpserver.expect_request(path, query_string={"format": "csv", "parentId": "FR"}).respond_with_data("id\r\nFR-75\r\n")
    httpserver.expect_request(path, query_string={"format": "parquet", "root": "true"}).respond_with_data(b"PAR1\xff")
    assert run("export", "places").stdout_bytes == b"id\r\nFR\r\n"
    assert run("export", "places", "--children-of", "FR").stdout_bytes == b"id\r\nFR-75\r\n"
    assert run("export", "places", "--roots", "--format", "parquet", "-o", "p.parquet").exit_code == 0
    assert (surroundings / "p.parquet").read_bytes() == b"PAR1\xff"
    assert run("export", "places", "--roots", "--children-of", "FR").exit_code == 2


# --- no file plays tricks ---


def printed(shown: Any) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=300, markup=False, emoji=False)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "table",
    [
        rows_table((EVIL,), [(EVIL,)]),
        findings_view([a_finding(1, message=EVIL, value=EVIL, hint=EVIL, column=EVIL, cycle=[EVIL], code=EVIL)]),
        groups_view([a_group(9, message=EVIL, value=EVIL, hint=EVIL, column=EVIL, code=EVIL), a_group(1, cycle=[EVIL])]),
        import_table({**an_import(), "reason": EVIL, "source": {"filename": EVIL, "size_bytes": 1}}),
    ],
    ids=["rows", "findings", "groups", "import"],
)
def test_nothing_from_a_file_reaches_the_terminal_unescaped(table: Any) -> None:
    text = printed(table)
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800]", text) is None
    assert "[bold]x[/bold] :smile:" in text.replace("\n", "")
    assert "\\u001b[31mred" in text


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("Åland Islands", "中国", "🇫🇷", "नमस्ते", "क्‍ष", "👩‍🚀", "a b\xa0c", "naïve — “quoted”"):
        assert visible(text) == text, text


def test_what_hides_is_spelled_out_as_json_spells_it() -> None:
    assert visible("a\nb\tc\x00\x7f\u200b\U000e0041") == "a\\nb\\tc\\u0000\\u007f\\u200b\\udb40\\udc41"
    assert json.loads(f'"{visible(EVIL)}"') == EVIL


def test_json_survives_anything(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json({**an_import(), "reason": EVIL})
    result = run("status", IMPORT_ID, "--json")
    assert result.exit_code == 0, result.exception
    assert "\x1b" not in result.stdout
    assert json.loads(result.stdout)["reason"] == EVIL


def test_an_error_message_is_escaped_too(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json({"detail": EVIL}, 404)
    result = run("status", IMPORT_ID)
    assert "\x1b" not in result.stderr
    assert "[bold]x[/bold]" in result.stderr


def test_progress_says_what_is_known() -> None:
    assert standing(an_import("queued") | {"queue_position": 3})[3] == "(position 3)"
    assert standing(an_import("loading", total=10, valid=8, inserted=3, unchanged=1)) == ("loading", 4, 10, "4 of 10 records")
    assert standing(an_import("validating"))[2] is None


# --- as a process ---


def start(surroundings: Path, *args: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, **environment},
    )


def test_ctrl_c_lets_go_of_the_import(httpserver: HTTPServer, surroundings: Path) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("loading"))
    process = start(surroundings, "watch", IMPORT_ID)
    while not httpserver.log:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert f"bulkhead watch {IMPORT_ID}" in err
    assert "Traceback" not in err
    assert all(request.method == "GET" for request, _ in httpserver.log), "the import itself is left alone"


def test_a_closed_pipe_ends_the_command_without_a_traceback(httpserver: HTTPServer, surroundings: Path) -> None:
    shows(httpserver, an_import("partially_succeeded", total=2, inserted=1, failed=1))
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/failed").respond_with_data("x,y\n" * 1_000_000)
    process = start(surroundings, "results", IMPORT_ID)
    assert process.stdout is not None
    assert process.stdout.readline() == "x,y\n"
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert process.wait(20) == 1
    process.stderr.close()


def test_output_that_a_full_disk_refuses_is_said(surroundings: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "template", "places", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[3],
            check=False,
        )
    assert process.returncode == 1
    assert process.stderr == "bulkhead: The output cannot be written: No space left on device.\n"


def test_help_lists_every_command(surroundings: Path) -> None:
    process = start(surroundings, "--help")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(command in out for command in COMMANDS)


def test_help_imports_nothing_heavy(surroundings: Path) -> None:
    script = (
        "import sys; sys.argv = ['bulkhead', 'upload', '--help']\n"
        "from pipeline.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    loaded = set(done.stderr.split())
    assert "typer" in loaded
    heavy = "great_expectations duckdb temporalio sqlalchemy boto3 pyarrow requests pydantic_settings sqlglot flask"
    assert loaded & set(heavy.split()) == set()


def test_no_color_is_honoured(httpserver: HTTPServer, surroundings: Path) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("succeeded"))
    for environment, coloured in (({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)):
        out = on_a_terminal(["status", IMPORT_ID], environment)
        assert "succeeded" in out
        assert ("\x1b[3" in out) is coloured


def on_a_terminal(args: list[str], environment: dict[str, str], code: int = 0) -> str:
    """What a command writes when its streams are a terminal; it must end with ``code``."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *args],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            seen += chunk
    except OSError:  # how a terminal says that the other side is gone
        pass
    os.close(ours)
    assert process.wait(20) == code, seen
    return seen.decode()


def test_a_terminal_shows_bars_and_the_id(httpserver: HTTPServer, surroundings: Path, file: Path) -> None:
    answers(httpserver, "queued", "validating", "loading", "succeeded")
    out = on_a_terminal(["upload", str(file), "--wait"], {})
    assert IMPORT_ID in out
    for word in ("uploaded", "validating", "loading", "succeeded"):
        assert word in out


def test_a_file_printed_on_a_terminal_is_made_harmless(httpserver: HTTPServer, surroundings: Path) -> None:
    content = f"id\n{EVIL[:-1]}\n".encode()
    shows(httpserver, an_import("partially_succeeded", total=2, inserted=1, failed=1))
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/failed").respond_with_data(content)
    out = on_a_terminal(["results", IMPORT_ID], {})
    assert "\x1b" not in out
    assert "\\u001b[31mred" in out


def test_no_workbook_is_printed_on_a_terminal(httpserver: HTTPServer, surroundings: Path) -> None:
    shows(httpserver, an_import("partially_succeeded", total=2, inserted=1, failed=1))
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/failed").respond_with_data(b"PK\x03\x04\0", content_type=kind)
    out = on_a_terminal(["results", IMPORT_ID], {"COLUMNS": "200"}, code=2)
    assert "PK" not in out
    said = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert "--output FILE" in said and "--format csv" in said
    assert on_a_terminal(["results", IMPORT_ID, "-o", str(surroundings / "failed.xlsx")], {})
    assert (surroundings / "failed.xlsx").read_bytes() == b"PK\x03\x04\0"


# --- every command ---


@pytest.mark.parametrize("command", [*COMMANDS, "key create", "key list", "key revoke"])
def test_help_has_an_example(run: Run, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert command == "key" or f"bulkhead {command}" in result.stdout


def test_a_preview_shows_rows_columns_and_the_tree_of_a_shape(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tree.csv"
    file.write_text("path,junk\nEurope/France/Paris,x\nEurope/Spain,y\n")
    shape = ["--shape", '{"kind": "path", "column": "path", "separator": "/"}']
    result = run("preview", str(file), *shape)
    assert result.exit_code == 0, result.output
    assert "4 records, of which 2 would be generated; 1 root, 3 levels" in result.stdout
    assert "  Europe  (2 below)\n    Europe/Spain  Spain\n" in result.stdout
    assert "tree.csv: CSV, comma, UTF-8." in result.stderr
    told = json.loads(run("preview", str(file), *shape, "--json").stdout)
    assert (told["tree"]["roots"], told["rows"][0], told["text"]) == (1, ["Europe/France/Paris", "x"], "CSV, comma, UTF-8")
    assert [column["becomes"] for column in told["columns"]] == ["path", "junk"]
    wrong = run("preview", str(file), "--shape", '{"kind": "path"}')
    assert (wrong.exit_code, "needs column" in wrong.output) == (1, True)
    file.write_bytes(b"%PDF-1.7")
    refused = run("preview", str(file))
    assert refused.exit_code == 3 and "PDF" in refused.stderr and refused.stdout == ""


def test_a_template_is_printed_or_written(run: Run, tmp_path: Path) -> None:
    result = run("template", "places")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "id,parentId,name,kind,alpha_3,numeric_code,flag")
    assert run("template", "places", "--format", "xlsx", "-o", str(tmp_path / "places.xlsx")).exit_code == 0
    assert (tmp_path / "places.xlsx").read_bytes().startswith(b"PK")
    assert run("template", "nonsense").exit_code == 1


def test_a_mapping_that_makes_no_sense_is_refused_before_anything_is_read(run: Run, file: Path) -> None:
    result = run("validate", file, "--map", "a=nonsense")
    assert result.exit_code == 1
    assert "'a' cannot be mapped to 'nonsense', which records does not have. Its columns: id, parentId, name." in " ".join(
        result.stderr.split()
    )


def test_there_are_no_other_commands() -> None:
    import typer

    assert sorted(typer.main.get_command(app).commands) == sorted(COMMANDS)  # type: ignore[attr-defined]


def test_the_roles_are_those_of_the_keys() -> None:
    assert [role.value for role in keys.Role] == [role.value for role in Role]
