"""`bulkhead fix`: what it asks of the server, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from typer.testing import CliRunner, Result

from pipeline.cli.commands import app
from pipeline.client import http

ID = "01990b3c-0000-7000-8000-000000000001"
PATCH = f"/v1/imports/{ID}/patch"
EDIT = {"row": 7, "column": "parentId", "kind": "edit", "old": "FRR", "new": "FR\x1b[31m"}
Run = Callable[..., Result]


@pytest.fixture
def run(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BULKHEAD_URL", httpserver.url_for(""))
    monkeypatch.setenv("BULKHEAD_API_KEY", "bk_secret")
    monkeypatch.setattr(http, "pause", lambda state: 0.0)
    runner = CliRunner()
    return lambda *args, **options: runner.invoke(app, ["fix", ID, *map(str, args)], **options)


def version(number: int, *items: Any, edits: int = 1, skipped: int = 0) -> dict[str, Any]:
    counts = {"import_id": ID, "version": number, "edits": edits, "skipped_rows": skipped, "roots": 0, "changed": 1}
    return {**counts, "items": [*items], "next_cursor": None}


def sent(httpserver: HTTPServer, place: int) -> tuple[str, str | None, Any]:
    request, _ = httpserver.log[place]
    return request.method, request.headers.get("If-Match"), json.loads(request.data or b"null")


def test_cells_are_set_rows_skipped_and_roots_made_in_one_request(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_ordered_request(PATCH, "GET").respond_with_json(version(3))
    httpserver.expect_ordered_request(PATCH, "PATCH").respond_with_json(version(4, edits=2, skipped=1))
    httpserver.expect_ordered_request(PATCH, "GET").respond_with_json(version(4, EDIT))
    result = run("--set", "7:parentId=FR", "--set", "8:a:b=", "--skip", 9, "--root", 12, "--undo", "5:name", "--undo", 6)
    assert result.exit_code == 0, result.output
    method, if_match, body = sent(httpserver, 1)
    assert (method, if_match) == ("PATCH", '"3"')
    assert body == {
        "edits": [{"row": 7, "column": "parentId", "new": "FR"}, {"row": 8, "column": "a:b", "new": None}],
        "skip_rows": [9],
        "roots": [12],
        "undo": [{"row": 5, "column": "name"}],
        "unskip_rows": [6],
    }
    assert "parentId" in result.stdout and "\x1b" not in result.stdout
    assert "2 edits, 1 row skipped." in result.stderr


def test_edits_come_from_a_file_and_the_import_starts_again(httpserver: HTTPServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "edits.csv").write_text('\ufeffrow,column,new,old\n7,name,"a, b",x\n8,kind,,\n')
    httpserver.expect_ordered_request(PATCH, "GET").respond_with_json(version(0, edits=0))
    httpserver.expect_ordered_request(PATCH, "PATCH").respond_with_json(version(1))
    httpserver.expect_ordered_request(f"/v1/imports/{ID}/retry", "POST", query_string="patch=1").respond_with_json(
        {"id": "new", "state": "queued"}, 202
    )
    result = run("--from", "edits.csv", "--again")
    assert (result.exit_code, result.stdout) == (0, "new\n")
    assert sent(httpserver, 1)[2] == {
        "edits": [{"row": 7, "column": "name", "new": "a, b", "old": "x"}, {"row": 8, "column": "kind", "new": None}]
    }


@pytest.mark.parametrize("text", ["row,column\n1,a\n", "row,column,new\nx,a,b\n", "row,column,new\n1,,b\n"])
def test_a_file_that_is_no_list_of_edits_changes_nothing(httpserver: HTTPServer, run: Run, text: str) -> None:
    result = run("--from", "-", input=text)
    assert (result.exit_code, result.stdout, len(httpserver.log)) == (1, "", 0)


def test_without_options_the_edits_are_listed(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_request(PATCH, "GET").respond_with_json(version(4, EDIT))
    told = json.loads(run("--json").stdout)
    assert (told["version"], told["items"][0]["row"]) == (4, 7)
    assert [request.method for request, _ in httpserver.log] == ["GET", "GET"]


def test_more_than_one_request_takes_are_sent_in_several(httpserver: HTTPServer, run: Run, tmp_path: Path) -> None:
    lines = "".join(f"{row},name,x\n" for row in range(1, 10_003))
    (tmp_path / "edits.csv").write_text("row,column,new\n" + lines)
    httpserver.expect_ordered_request(PATCH, "GET").respond_with_json(version(0, edits=0))
    for number in (1, 2):
        httpserver.expect_ordered_request(PATCH, "PATCH").respond_with_json(version(number))
    httpserver.expect_ordered_request(PATCH, "GET").respond_with_json(version(2))
    assert run("--from", "edits.csv").exit_code == 0
    assert [(sent(httpserver, place)[1], len(sent(httpserver, place)[2]["edits"])) for place in (1, 2)] == [
        ('"0"', 10_000),
        ('"1"', 2),
    ]


def test_a_conflict_is_said(httpserver: HTTPServer, run: Run) -> None:
    httpserver.expect_ordered_request(PATCH, "GET").respond_with_json(version(3))
    problem = {"code": "patch_conflict", "title": "t", "detail": "The edits are at version 4 by now."}
    httpserver.expect_ordered_request(PATCH, "PATCH").respond_with_json(problem, 412)
    result = run("--skip", 1)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "version 4" in result.stderr
