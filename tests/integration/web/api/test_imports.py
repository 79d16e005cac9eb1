"""The API but for uploads: imports, findings, results, reports; its errors; its description."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import option_texts
from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.settings import Settings
from tests.support.imports import MakeImport
from web.app_context import AppContext

WAY = (State.VALIDATING, State.PREPARING, State.LOADING)
FINDINGS = pa.schema(
    [
        *[(name, pa.string()) for name in ("code", "severity", "message")],
        *[(name, pa.int64()) for name in ("number", "row", "line")],
        *[(name, pa.string()) for name in ("id", "column", "value", "hint")],
        *[(name, pa.list_(pa.string())) for name in ("related", "cycle", "cells")],
    ]
)


@pytest.fixture
def rejected(make_import: MakeImport, edges: AppContext, store: Store, tmp_path: Path) -> str:
    """An import with 5,000 missing parents, and one cycle at the very end."""
    findings: list[dict[str, Any]] = [
        {
            "code": "missing_parent",
            "severity": "error",
            "message": "no parent",
            "row": row,
            "column": "parentId",
            "value": f"<b>{row}",
        }
        for row in range(1, 5001)
    ]
    findings[10]["severity"] = "warning"
    findings.append(
        {
            "code": "circular_reference",
            "severity": "error",
            "message": "a cycle",
            "row": 5001,
            "cycle": ["a", "b", "a"],
            "related": ["a", "b"],
            "id": "=a",
            "value": "-x",
        }
    )
    by_code = {"missing_parent": 5000, "circular_reference": 1}
    import_id = make_import(
        State.VALIDATING, State.REJECTED, findings_errors=5000, findings_warnings=1, findings_by_code=by_code
    )
    numbered = [{**finding, "number": number} for number, finding in enumerate(findings, 1)]
    file = tmp_path / "findings.parquet"
    pq.write_table(pa.Table.from_pylist(numbered, FINDINGS), file, row_group_size=1500)
    store.put_file(f"reports/{import_id}/findings.parquet", file)
    edges.ledger.findings.store(import_id, file, beat=lambda: None)
    store.put_bytes(f"reports/{import_id}/findings.csv", b"code,row\r\n...")
    store.put_bytes(f"reports/{import_id}/findings.json", b"[]")
    store.put_bytes(f"reports/{import_id}/findings.xlsx", b"PK")
    groups = [{"code": code, "count": count, "first": findings[:5]} for code, count in by_code.items()]
    store.put_bytes(f"reports/{import_id}/groups.json", json.dumps({"items": groups, "groups": 2, "total": 5001}).encode())
    return import_id


# --- imports ---


def test_one_import(api: Any, make_import: MakeImport) -> None:
    import_id = make_import(State.VALIDATING, records_total=3, records_valid=3)
    answer = api.get(f"/v1/imports/{import_id}")
    assert answer.status_code == 200
    assert set(answer.json) == {
        *("id", "dataset", "state", "reason", "source", "counts", "parts", "findings", "queue_position"),
        *("created_at", "started_at", "finished_at", "links", "dry_run", "options", "preview"),
        *("retry_of", "duplicate_of", "pause_requested", "cancel_requested", "removed", "created_by", "warnings"),
        *("retried_by", "patch", "definition_version"),
    }
    assert answer.json["state"] == "validating"
    assert answer.json["counts"]["total"] == 3
    assert answer.headers["Retry-After"] == "1"
    unchanged = api.get(f"/v1/imports/{import_id}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    api.post(f"/v1/imports/{make_import()}/cancel")
    changed = api.get(f"/v1/imports/{import_id}", headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


def test_a_finished_import_needs_no_second_look(api: Any, make_import: MakeImport) -> None:
    answer = api.get(f"/v1/imports/{make_import(*WAY, State.SUCCEEDED)}")
    assert "Retry-After" not in answer.headers


def test_no_such_import(api: Any) -> None:
    for import_id in (str(uuid.uuid4()), "nonsense", "..", "a%2Fb", "%00", "x" * 500):
        for rest in ("", "/errors", "/results", "/results/failed", "/report/", "/report/a.html"):
            answer = api.get(f"/v1/imports/{import_id}{rest}")
            assert answer.status_code == 404
            assert answer.json["code"] in ("unknown_import", "not_found")
            assert answer.content_type == "application/problem+json"


def test_pages_of_imports(api: Any, make_import: MakeImport) -> None:
    made = [make_import(dataset="records" if n % 2 else "places") for n in range(7)]
    make_import(State.VALIDATING, State.REJECTED)
    seen, cursor, pages = [], None, 0
    while True:
        page = api.get(
            "/v1/imports", query_string={"limit": 2, "state": "queued", **({"cursor": cursor} if cursor else {})}
        ).json
        seen += [one["id"] for one in page["items"]]
        pages += 1
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == made[::-1]
    assert pages == 4
    assert [one["id"] for one in api.get("/v1/imports?dataset=records").json["items"]] == made[1::2][::-1]
    assert len(api.get("/v1/imports").json["items"]) == 8


WRONG_PARAMETERS = [  # query, status, code
    ("limit=0", 422, "invalid_parameter"),
    ("limit=201", 422, "invalid_parameter"),
    ("limit=many", 422, "invalid_parameter"),
    ("state=sleeping", 422, "invalid_parameter"),
    ("page=2", 422, "invalid_parameter"),
    ("cursor=nonsense", 404, "unknown_import"),
]


def test_wrong_parameters(api: Any) -> None:
    for query, status, code in WRONG_PARAMETERS:
        answer = api.get(f"/v1/imports?{query}")
        assert (answer.status_code, answer.json["code"]) == (status, code)
        if status == 422:
            assert answer.json["errors"][0]["pointer"] == query.partition("=")[0]
            assert query.partition("=")[0] in answer.json["detail"]


# --- cancel ---


def test_cancel_what_waits(api: Any, make_import: MakeImport) -> None:
    import_id = make_import()
    answer = api.post(f"/v1/imports/{import_id}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "canceled")
    again = api.post(f"/v1/imports/{import_id}/cancel")
    assert (again.status_code, again.json["code"]) == (409, "already_finished")
    assert "canceled" in again.json["detail"]


def test_cancel_what_works_goes_through_temporal(
    api: Any, make_import: MakeImport, edges: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(edges.temporal, "cancel", lambda import_id: asked.append(import_id) or True)
    import_id = make_import(*WAY)
    answer = api.post(f"/v1/imports/{import_id}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "loading")
    assert asked == [import_id]


def test_cancel_needs_an_uploader(caller_for: Callable[[str], Any], make_import: MakeImport) -> None:
    answer = caller_for("reader").post(f"/v1/imports/{make_import()}/cancel")
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


# --- findings ---


def test_pages_of_findings(api: Any, rejected: str) -> None:
    rows, cursor = [], None
    while True:
        page = api.get(
            f"/v1/imports/{rejected}/errors", query_string={"limit": 700, **({"cursor": cursor} if cursor else {})}
        ).json
        assert page["total"] == 5001
        rows += [item["row"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert rows == [*range(1, 5002)]
    assert set(page["items"][0]) == {
        *("code", "severity", "message", "place", "row", "id", "line", "column", "value", "hint", "related", "cycle")
    }
    assert page["items"][-1]["cycle"] == ["a", "b", "a"]


SELECTED_FINDINGS = [  # query, total, rows
    ("code=circular_reference", 1, [5001]),
    ("severity=warning", 1, [11]),
    ("code=missing_parent&severity=warning", 1, [11]),
    ("code=circular_reference&severity=warning", 0, []),
    ("code=no_such_code", 0, []),
    ("severity=error&limit=1", 5000, [1]),
    ("code=missing_parent&limit=2&cursor=4998", 5000, [4999, 5000]),
    ("limit=2&cursor=9999", 5001, []),
]


def test_selected_findings(api: Any, rejected: str) -> None:
    for query, total, rows in SELECTED_FINDINGS:
        page = api.get(f"/v1/imports/{rejected}/errors?{query}").json
        assert (page["total"], [item["row"] for item in page["items"]]) == (total, rows)


def test_findings_as_files(api: Any, rejected: str, store: Store) -> None:
    for file_format in ("csv", "json", "parquet", "xlsx"):
        answer = api.get(f"/v1/imports/{rejected}/errors?format={file_format}")
        assert answer.data == store.get_bytes(f"reports/{rejected}/findings.{file_format}")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="findings-{rejected}.{file_format}"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_selected_findings_as_files(api: Any, rejected: str) -> None:
    path = f"/v1/imports/{rejected}/errors?code=missing_parent&severity=error&format="
    rows = [*range(1, 11), *range(12, 5001)]
    as_csv = [*csv.DictReader(io.StringIO(api.get(path + "csv").text))]
    assert [int(row["row"]) for row in as_csv] == rows
    assert as_csv[0]["value"] == "<b>1"
    assert [item["row"] for item in json.loads(api.get(path + "json").data)] == rows
    assert pq.read_table(io.BytesIO(api.get(path + "parquet").data))["row"].to_pylist() == rows
    cycle = api.get(f"/v1/imports/{rejected}/errors?code=circular_reference&format=csv").text
    assert cycle == (
        "place,row,id,code,severity,column,value,message,hint,line,related,cycle\n"
        ",5001,'=a,circular_reference,error,,'-x,a cycle,,,a b,a → b → a\n"
    )


def test_a_workbook_is_not_selected_from(api: Any, rejected: str) -> None:
    for query in ("code=missing_parent", "severity=error"):
        answer = api.get(f"/v1/imports/{rejected}/errors?format=xlsx&{query}")
        assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


def test_groups_of_findings(api: Any, rejected: str, make_import: MakeImport) -> None:
    found = api.get(f"/v1/imports/{rejected}/errors/groups").json
    assert (found["total"], found["groups"]) == (5001, 2)
    assert [(one["code"], one["count"], one["first"][0]["row"]) for one in found["items"]] == [
        ("missing_parent", 5000, 1),
        ("circular_reference", 1, 1),
    ]
    (one,) = api.get(f"/v1/imports/{rejected}/errors/groups?code=circular_reference").json["items"]
    assert one["code"] == "circular_reference"
    none = api.get(f"/v1/imports/{make_import()}/errors/groups").json
    assert none == {"items": [], "groups": 0, "total": 0}


def test_what_validation_said_of_the_last_files(api: Any, rejected: str, make_import: MakeImport) -> None:
    last = make_import(State.VALIDATING, State.VALIDATED, records_total=8, records_valid=8)
    make_import(State.VALIDATING, records_total=7)  # is being checked
    make_import()  # waits, and has nothing to say
    first, second = api.get("/v1/datasets/places/validations").json["items"]
    assert (first["id"], first["records"], first["errors"], first["by_code"]) == (last, 8, 0, {})
    assert (second["id"], second["state"], second["errors"], second["warnings"]) == (rejected, "rejected", 5000, 1)
    assert second["by_code"] == {"missing_parent": 5000, "circular_reference": 1}
    assert second["created_at"].endswith("Z")
    assert api.get("/v1/datasets/records/validations").json == {"items": [], "next_cursor": None}
    assert api.get("/v1/datasets/nothing/validations").status_code == 404


def test_no_findings(api: Any, make_import: MakeImport) -> None:
    import_id = make_import(State.VALIDATING)
    assert api.get(f"/v1/imports/{import_id}/errors").json == {"items": [], "next_cursor": None, "total": 0}
    answer = api.get(f"/v1/imports/{import_id}/errors?format=csv")
    assert (answer.status_code, answer.json["code"]) == (404, "no_report")


def test_an_invalid_cursor_is_refused(api: Any, rejected: str) -> None:
    for cursor in ("x", "-1", "1" * 30, "٣"):
        answer = api.get(f"/v1/imports/{rejected}/errors", query_string={"cursor": cursor})
        assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


# --- results and failures ---


@pytest.fixture
def partly(make_import: MakeImport, settings: Settings, store: Store) -> str:
    """An import of which three records were refused."""
    import_id = make_import(*WAY, State.PARTIALLY_SUCCEEDED, records_total=5, records_valid=5, parts_total=1)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("insert into ledger.part values (%s, 1, 5, 1, 1, 0, 3)", (import_id,))
        for row in (2, 3, 5):
            connection.execute(
                "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message, record)"
                """ values (%s, %s, 1, 1, %s, 'refused', 'too long', '{"name": "<i>x"}')""",
                (import_id, row, f"id-{row}"),
            )
    store.put_bytes(f"results/{import_id}/failed.csv", b"row,id\r\n2,id-2\r\n")
    store.put_bytes(f"results/{import_id}/failed.json", b'[{"row": 2}]')
    store.put_bytes(f"results/{import_id}/summary.json", b'{"state": "partially_succeeded"}')
    return import_id


def test_failures(api: Any, partly: str) -> None:
    first = api.get(f"/v1/imports/{partly}/results/failed?limit=2").json
    assert [item["row"] for item in first["items"]] == [2, 3]
    assert first["items"][0]["record"] == {"name": "<i>x"}
    assert (first["total"], first["next_cursor"]) == (3, "3")
    last = api.get(f"/v1/imports/{partly}/results/failed?limit=2&cursor=3").json
    assert ([item["id"] for item in last["items"]], last["next_cursor"]) == (["id-5"], None)
    file = api.get(f"/v1/imports/{partly}/results/failed?format=csv")
    assert file.data == b"row,id\r\n2,id-2\r\n"
    assert "attachment" in file.headers["Content-Disposition"]
    assert api.get(f"/v1/imports/{partly}/results/failed?format=xlsx").status_code == 422


def test_results(api: Any, partly: str) -> None:
    results = api.get(f"/v1/imports/{partly}/results").json
    counts = results["counts"]
    assert counts["total"] == 5 == counts["inserted"] + counts["updated"] + counts["unchanged"] + counts["failed"]
    assert results["summary"] == {"state": "partially_succeeded"}
    assert [file["name"] for file in results["files"]] == ["failed.csv", "failed.json"]
    for file in results["files"]:
        assert api.get(file["href"].removeprefix("http://localhost")).status_code == 200


def test_results_of_nothing_yet(api: Any, make_import: MakeImport) -> None:
    results = api.get(f"/v1/imports/{make_import()}/results").json
    assert (results["files"], results["summary"]) == ([], None)


# --- the report's pages ---


def test_the_report(api: Any, make_import: MakeImport, store: Store) -> None:
    import_id = make_import(State.VALIDATING)
    store.put_bytes(f"reports/{import_id}/docs/index.html", b"<script>alert(1)</script>")
    store.put_bytes(f"reports/{import_id}/docs/static/a b.css", b"b {}")
    store.put_bytes(f"reports/{import_id}/findings.csv", b"secret")
    index = api.get(f"/v1/imports/{import_id}/report/")
    assert index.data == b"<script>alert(1)</script>"
    assert index.content_type == "text/html; charset=utf-8"
    policy = index.headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'self';" in policy
    assert "unsafe" not in policy and "data:" not in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "script-src" not in policy  # so that default-src holds
    assert index.headers["X-Content-Type-Options"] == "nosniff"
    assert api.get(f"/v1/imports/{import_id}/report").location == f"/v1/imports/{import_id}/report/"
    css = api.get(f"/v1/imports/{import_id}/report/static/a%20b.css")
    assert (css.data, css.content_type) == (b"b {}", "text/css; charset=utf-8")
    for page in ("no.html", "..%2Ffindings.csv", "../findings.csv", "%2e%2e/findings.csv"):
        answer = api.get(f"/v1/imports/{import_id}/report/{page}")
        assert (answer.status_code, answer.json["code"]) == (404, "no_report")


# --- everything else that can go wrong ---


ERRORS_ARE_PROBLEMS = [  # method, path, status, code
    ("GET", "/v1/nothing", 404, "not_found"),
    ("GET", "/v1//imports", 404, "not_found"),
    ("POST", "/v1/imports", 405, "method_not_allowed"),
    ("PUT", "/v1/datasets", 405, "method_not_allowed"),
    ("GET", "/v1/datasets/nowhere", 404, "unknown_dataset"),
    ("GET", "/v1/datasets/..%2F..%2Fetc", 404, "unknown_dataset"),
    ("POST", "/healthz", 405, "method_not_allowed"),
]


def test_errors_are_problems(api: Any) -> None:
    for method, path, status, code in ERRORS_ARE_PROBLEMS:
        answer = api(method, path, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.json["code"]) == (status, code)
        assert answer.content_type == "application/problem+json"
        assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(answer.json)
        if status == 405:
            assert answer.headers["Allow"]


def test_a_fault_of_ours_says_nothing_of_it(api: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(**_: Any) -> Any:
        raise RuntimeError("secret words")

    monkeypatch.setattr(edges.ledger.imports, "page", break_down)
    answer = api.get("/v1/imports", headers={"X-Request-Id": "mine-1"})
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "secret words" not in answer.text
    assert answer.json["request_id"] == answer.headers["X-Request-Id"] == "mine-1"


def test_a_request_id_is_made_unless_it_is_a_good_one(api: Any) -> None:
    for given in ("", "a b", "x" * 65, "<script>"):
        assert len(api.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"]) == 32


def test_health(app: Any) -> None:
    client = app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ok", "parts": {"postgresql": "ok", "s3": "ok"}}


def test_not_ready_without_s3(app: Any, edges: AppContext) -> None:
    away = Store("b", endpoint="http://127.0.0.1:9", access_key="a", secret_key="b")
    object.__setattr__(edges, "store", away)
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["parts"]) == (503, {"postgresql": "ok", "s3": "away"})


def test_the_description_names_every_route(app: Any) -> None:
    spec = app.test_client().get("/openapi.json").json
    assert spec["openapi"] == "3.1.0"
    described = {(path, method.upper()) for path, item in spec["paths"].items() for method in item}
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(("/v1/", "/s3/")) and not rule.rule.rstrip("/").endswith("/report"):
            path = rule.rule.replace("<name:", "{").replace("<rest:", "{").replace("<int:", "{").replace(">", "}")
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                assert (path, method) in described
    upload = spec["paths"]["/v1/datasets/{dataset}/imports"]["post"]
    assert "multipart/form-data" in upload["requestBody"]["content"]
    assert {parameter["name"] for parameter in upload["parameters"]} == {
        *("Idempotency-Key", "Content-Digest"),
        *("dataset", "filename", "dry_run", "on_error", "max_errors", "max_error_ratio", "force", "mapping"),
        *option_texts.PARSERS,
        *("notify", "retry_of"),
    }
    assert spec["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    text = json.dumps(spec)
    for reference in {piece.partition('"')[0] for piece in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in spec["components"]["schemas"]


def test_a_known_sha256_stays_when_the_upload_is_announced_without_one(make_import: MakeImport, edges: AppContext) -> None:
    import_id = make_import(State.VALIDATING)
    edges.ledger.uploads.complete(import_id, size_bytes=11, sha256="", etag="f")
    made = edges.ledger.imports.get(import_id)
    assert made is not None
    assert (made.state, made.size_bytes, made.sha256) == (State.VALIDATING, 11, "ab")
