"""Personal data is masked wherever it leaves, unless the key may unmask: every route, file, message and SQL query is asked.

The routes are taken from the app itself, the files from the store: a new outlet is asked too, and a new kind of file is found.
Every personal value bears a mark, in records that are valid, invalid, refused, loaded and damaged.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from pipeline.contracts.masking import MASK
from pipeline.contracts.messages import ObjectArrived
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from pipeline.warehouse.migrate import migrate
from tests.support.http import Caller, csrf, follow_link
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.api import events
from web.app_context import AppContext

pytestmark = pytest.mark.early

MARK, YEAR = "zqxj", "1931"
"""Every personal text has the mark, every personal date the year; nothing else has either."""

TABLE = """
create table warehouse.people (
    id text primary key,
    "parentId" text,
    name text check (name <> 'zqxj poison'),
    email text,
    born date,
    city text,
    _import_id uuid not null,
    _row bigint not null,
    _loaded_at timestamptz not null default now()
);
"""
SUITE: dict[str, Any] = {
    "name": "people",
    "meta": {"title": "People", "personal": ["name", "email", "born"]},
    "expectations": [
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "email", "regex": "@"},
         "meta": {"code": "invalid_email", "message": "{value} is no e-mail address."}},
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "city", "regex": "^[A-Z]"},
         "meta": {"code": "invalid_city", "message": "{value} is no city."}},
    ],
}  # fmt: skip
CHECK = """-- The name of {value} is in its city.
-- code: name_in_city
-- column: city
-- severity: warning
select _row, name as value, 'So says ' || email as hint from incoming where city = 'Nowhere'
"""
SEARCHED = f"{MARK} at example"
"""The value of a finding, which a page is asked to search for."""

RULES = ("/v1/keys", "/admin/", "/v1/webhooks", "/v1/audit-log")


@pytest.fixture
def settings(settings: Settings, a_root: Path) -> Settings:
    """With a dataset of people, a mart and a check that show their names, and recipients."""
    (a_root / "sql" / "tables" / "people.sql").write_text(TABLE)
    (a_root / "expectations" / "people.json").write_text(json.dumps(SUITE))
    (a_root / "sql" / "checks" / "people").mkdir()
    (a_root / "sql" / "checks" / "people" / "name_in_city.sql").write_text(CHECK)
    (a_root / "sql" / "marts" / "people_names.sql").write_text("-- names.\nselect id, name from warehouse.people\n")
    migrate(settings.database_url, root=a_root)
    return settings.model_copy(update={"datasets_root": a_root, "email_to": ("you@example.org",)})


def rows(prefix: str) -> str:
    """Return a file with people who are valid, invalid, orphans, twice there, refused by the warehouse, or not readable."""
    good = [f"{prefix}-{n},{prefix}-1,{MARK} name {n},{MARK}{n}@example.org,{YEAR}-07-0{n},Lyon" for n in range(2, 9)]
    return "\n".join(
        [
            "id,parentId,name,email,born,city",
            f"{prefix}-1,,{MARK} root,{MARK}@example.org,{YEAR}-07-01,Lyon",
            *good,
            f"{prefix}-a,{prefix}-1,{MARK} a,{MARK} at example,{YEAR}-07-01,Lyon",
            f"{prefix}-b,{prefix}-1,{MARK} b,{MARK}b@example.org,{MARK} {YEAR},Lyon",
            f"{prefix}-c,{MARK[:2]}gone,{MARK} c,{MARK}c@example.org,,Lyon",
            f"{prefix}-d,{prefix}-1,{MARK} d,{MARK}d@example.org,,lyon",
            f"{prefix}-e,{prefix}-1,{MARK} e,{MARK}e@example.org,,Nowhere",
            f"{prefix}-t,{prefix}-1,{MARK} t,{MARK}t@example.org,,Lyon",
            f"{prefix}-t,{prefix}-1,{MARK} u,{MARK}u@example.org,,Lyon",
            f"{prefix}-m,{prefix}-1,{MARK} m,{MARK}m@example.org,,Lyon,{MARK} more",
            f"{prefix}-p,{prefix}-1,{MARK} poison,{MARK}p@example.org,,Lyon",
            "",
        ]
    )


class People:
    """The app with imports of people of every kind, and an audit."""

    def __init__(self, app: Flask, edges: AppContext) -> None:
        self.app, self.edges = app, edges
        self.keys = {may: edges.keys.create(f"unmask {may}", Role.UPLOADER, unmask=may) for may in (False, True)}
        self.imports: list[str] = []
        self.audits: list[str] = []

    def caller(self, *, unmask: bool) -> Caller:
        return Caller(self.app.test_client(), self.keys[unmask][0])

    def fill(self) -> None:
        with running_worker(self.edges.settings):
            self.upload(rows("q"), "on_error=quarantine")
            self.upload(rows("r"), "")
            self.upload(rows("d"), "on_error=quarantine&dry_run=true")
            self.upload(rows("h").replace("email", "electronic"), "")
            self.upload("\n".join(rows("n").splitlines()[1:]), "")
            for form in ("native", "csv", "json", "parquet"):
                at = f"/v1/imports/{self.imports[0]}/results/succeeded?format={form}"
                wait_until(lambda at=at: self.caller(unmask=False).get(at).status_code == 200, 300.0)
            self.audit()
        self.edit()

    def edit(self) -> None:
        """Correct a file with personal data, as a key that may see it."""
        edits = [{"row": row, "column": "name", "old": f"{MARK} old {row}", "new": f"{MARK} new {row}"} for row in (9, 10)]
        at = f"/v1/imports/{self.imports[0]}/patch"
        answer = self.caller(unmask=True)("PATCH", at, json={"edits": edits}, headers={"If-Match": '"0"'})
        assert answer.status_code == 200, answer.text

    def upload(self, text: str, query: str, *, unmask: bool = False) -> str:
        answer = self.caller(unmask=unmask).upload(text.encode(), dataset="people", filename=f"people.csv&{query}")
        assert answer.status_code == 202, answer.text
        self.follow(answer.json["id"])
        return str(answer.json["id"])

    def follow(self, import_id: str) -> None:
        self.imports.append(import_id)
        known = self.edges.ledger.imports.known(import_id)
        self.edges.temporal.announce(ObjectArrived(known.bucket, known.key, import_id))
        wait_until(lambda: self.edges.ledger.imports.known(import_id).state.is_final or self.is_validated(import_id), 300.0)

    def is_validated(self, import_id: str) -> bool:
        return str(self.edges.ledger.imports.known(import_id).state) == "validated"

    def audit(self) -> None:
        with psycopg.connect(self.edges.settings.database_url) as connection:
            connection.execute(
                f"""insert into warehouse.people (id, "parentId", name, email, city, _import_id, _row)
                values ('lost', 'gone', '{MARK} lost', '{MARK} lost', 'Nowhere', gen_random_uuid(), 1)"""
            )
        self.audits.append(self.caller(unmask=False).post("/v1/datasets/people/audits").json["id"])
        at = f"/v1/datasets/people/audits/{self.audits[0]}"
        wait_until(lambda: self.caller(unmask=False).get(at).json["state"] == "succeeded", 300.0)

    def addresses(self) -> Iterator[str]:
        """Every GET of the app about people, with every format that it offers."""
        spec = self.app.test_client().get("/openapi.json").json["paths"]
        pools = {
            "dataset": ["people"],
            "import_id": self.imports,
            "audit_id": self.audits,
            "record_id": ["q-1", "lost"],
            "page": ["index.html", "validation.json"],
            "rest": ["index.html"],
        }
        for rule in self.app.url_map.iter_rules():
            if "GET" not in (rule.methods or ()) or rule.rule.startswith(("/static", *RULES)) or rule.endpoint == "static":
                continue
            if not rule.arguments <= {*pools}:
                continue
            at = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            named = spec.get(at, {}).get("get", {}).get("parameters", [])
            paths = [at]
            for name in rule.arguments:
                paths = [path.replace(f"{{{name}}}", one) for path in paths for one in pools[name]]
            forms = [form for one in named if one["name"] == "format" for form in _choices(one["schema"])]
            for path in paths:
                yield path
                yield from (f"{path}?format={form}" for form in forms)
                if "records" in path or "findings" in path:
                    yield f"{path}?under=q-1"
                    yield f"{path}?q={quote(SEARCHED)}"
                if path.endswith("/records"):
                    yield f"{path}?parentId=q-1"

    def asked(self, *, unmask: bool) -> Iterator[tuple[str, TestResponse]]:
        """Every address with its answer: of the API with a key, of pages with a session."""
        api, browser = self.caller(unmask=unmask), self.app.test_client()
        follow_link(browser, self.edges.keys.sign_in_token(self.keys[unmask][1].id))
        for at in self.addresses():
            is_page = not at.startswith(("/v1/", "/s3/"))
            yield at, browser.get(at, headers={"Accept": "text/html"}, buffered=True) if is_page else api.get(at, buffered=True)
        preview = api.post("/v1/datasets/people/preview?whole=true", data=rows("v").encode())
        yield "preview", preview
        for query in ("", "&dataset=people"):
            yield f"preview{query}", api.post(f"/v1/preview?whole=true{query}", data=rows("v").encode())
            bare = rows("v").partition("\n")[2].encode()
            yield "preview without header", api.post(f"/v1/preview?whole=true{query}", data=bare)
        yield (
            "preview without header",
            api.post("/v1/datasets/people/preview?whole=true", data=rows("v").partition("\n")[2].encode()),
        )
        token = csrf(browser, "/sql")
        for sql in QUERIES:
            for form in ("json", "parquet"):
                yield sql, api.post(f"/v1/query?format={form}", json={"sql": sql})
            for what in ("run", "plan", "csv"):
                yield sql, browser.post("/sql", data={"csrf_token": token, "sql": sql, "do": what}, buffered=True)


QUERIES = (
    "select * from people",
    "select * from warehouse.people",
    "select id from people where email like 'zq%'",
    "select email::int from people",
    "select max(born) from people",
    "select * from people_names",
    "select row_to_json(people) from people",
    "select * from import_findings",
    "select value::int from import_findings where value is not null",
)


def _choices(schema: dict[str, Any]) -> list[str]:
    return [choice for kind in (schema, *schema.get("anyOf", [])) for choice in kind.get("enum", [])]


def text_of(answer: TestResponse) -> str:
    """Return all that an answer says, packed files too."""
    data, kind = answer.data, answer.content_type or ""
    if "parquet" in kind:
        return str(pq.read_table(io.BytesIO(data)).to_pylist())
    if "arrow" in kind:
        return str(pyarrow.ipc.open_stream(data).read_all().to_pylist())
    return stored_text(data)


def stored_text(data: bytes) -> str:
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return "".join(packed.read(name).decode("utf-8", "replace") for name in packed.namelist())
    if data[:4] == b"PAR1":
        return str(pq.read_table(io.BytesIO(data)).to_pylist())
    return data.decode("utf-8", "replace")


SHOWN = re.compile(rf"{MARK}|(?<![0-9a-f-]){YEAR}-07|date[(]{YEAR}|Jul(y)? {YEAR}")


def marks_in(text: str, sent: str = "") -> str:
    """Return what a text shows of personal data, with what is around it; empty if nothing. What was sent may come back."""
    for echo in (SEARCHED, quote(SEARCHED), quote_plus(SEARCHED), sent):
        text = text.replace(echo, "") if MARK in echo else text
    found = SHOWN.search(text)
    return repr(text[max(found.start() - 120, 0) : found.end() + 60]) if found else ""


@pytest.fixture
def people(app: Flask, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> People:
    """The app with imports of people."""
    monkeypatch.setattr(events, "STREAM_SECONDS", 0.0)
    made = People(app, edges)
    made.fill()
    return made


SHOW_IT = (
    "/errors", "/errors?format=csv", "/errors?format=parquet", "/errors?format=xlsx", "/errors/groups", "/report/index.html",
    "/patch", "/results/failed", "/results/failed?format=csv", "/results/succeeded?format=csv", "/findings", "/records",
    "/records?format=csv", "/records?format=parquet", "/records/q-1", "preview", "select * from people",
    "select * from people_names",
)  # fmt: skip
"""Endings of addresses that show the marks to a key that may unmask."""


def test_no_outlet_shows_personal_data_unless_the_key_may_unmask(
    people: People, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    """One test, since what it needs takes long to make."""
    shows_nothing_without_the_permission(people)
    assert not marks_in("".join(capfd.readouterr())), "in a log"
    stores_masks_only(people, settings)
    seen = {at for at, answer in people.asked(unmask=True) if answer.status_code == 200 and marks_in(text_of(answer), at)}
    assert [one for one in SHOW_IT if not any(at.endswith(one) for at in seen)] == []
    loads_no_mask(people)
    withholds_what_was_stored_before(people, settings)


def shows_nothing_without_the_permission(people: People) -> None:
    wrong, fine = [], set()
    for at, answer in people.asked(unmask=False):
        text = text_of(answer)
        if said := marks_in(text, at):
            wrong.append(f"{at} {answer.status_code}: {said}")
        elif answer.status_code >= 500:
            wrong.append(f"{at} {answer.status_code}: {text[:300]}")
        if answer.status_code == 200:
            fine.add(at)
    assert not wrong, "\n".join(wrong)
    assert {one for one in SHOW_IT if not any(at.endswith(one) for at in fine)} == {"select * from people_names"}


def stores_masks_only(people: People, settings: Settings) -> None:
    """In S3, in mails and in the ledger; but for the uploaded files, their edits, the parts, and what is kept clear."""
    leaks = []
    for one in people.edges.store.list(""):
        if one.key.startswith(("incoming/", "batches/", "patches/")) or "/unmasked/" in one.key:
            continue
        if said := marks_in(stored_text(people.edges.store.get_bytes(one.key))):
            leaks.append(f"{one.key}: {said}")
    assert not leaks, "\n".join(leaks)
    mails = [path.read_bytes().decode("utf-8", "replace") for path in Path(settings.outbox_dir).rglob("*") if path.is_file()]
    assert mails
    assert not any(marks_in(mail) for mail in mails)
    with psycopg.connect(settings.database_url) as connection:
        tables = connection.execute("select table_name from information_schema.tables where table_schema = 'ledger'").fetchall()
        for (table,) in tables:
            query = f"select (to_jsonb(t) - 'unmasked')::text from ledger.{table} t"
            found = [said for (text,) in connection.execute(query).fetchall() if (said := marks_in(text))]  # type: ignore[call-overload]
            assert table == "audit_event" or not found, (table, found[:1])  # the audit log has the text of SQL that was asked


def loads_no_mask(people: People) -> None:
    """A mask in a file is an error; a retry of the import itself has the originals."""
    api, first = people.caller(unmask=False), people.imports[0]
    with running_worker(people.edges.settings):
        failed = api.get(f"/v1/imports/{first}/results/failed?format=native").data
        assert MASK in failed.decode()
        answer = api.post(f"/v1/imports/{first}/retry", data=failed, headers={"Content-Type": "text/csv"})
        people.follow(answer.json["id"])
        assert people.edges.ledger.imports.known(answer.json["id"]).findings_by_code["masked_value"] > 5
        again = api.post(f"/v1/imports/{first}/retry?only=failed")
        people.follow(again.json["id"])
        known = people.edges.ledger.imports.known(again.json["id"])
        assert "masked_value" not in known.findings_by_code
        assert "invalid_email" in known.findings_by_code
    with psycopg.connect(people.edges.settings.database_url) as connection:
        query = "select count(*) from warehouse.people where name = %s or email = %s"
        assert connection.execute(query, (MASK, MASK)).fetchone() == (0,)


def withholds_what_was_stored_before(people: People, settings: Settings) -> None:
    """A column is tagged later: what is stored has its values, so only a key that may unmask gets it."""
    suite = {**SUITE, "meta": {**SUITE["meta"], "personal": [*SUITE["meta"]["personal"], "city"]}}
    (settings.datasets_root / "expectations" / "people.json").write_text(json.dumps(suite))
    at = [
        f"/v1/imports/{people.imports[0]}/{one}"
        for one in ("errors", "errors/groups", "results/failed", "report/index.html", "validation")
    ]
    at += [f"{at[0]}?format=csv", f"{at[2]}?format=csv", f"/v1/datasets/people/audits/{people.audits[0]}/errors"]
    assert {people.caller(unmask=False).get(one).status_code for one in at} == {403}
    assert {people.caller(unmask=True).get(one).status_code for one in at} == {200}
    assert "Lyon" not in people.caller(unmask=False).get("/v1/datasets/people/records").text


def test_only_a_key_that_may_unmask_makes_one_that_may(app: Flask, edges: AppContext) -> None:
    text, one = edges.keys.create("sees", Role.ADMIN)
    other, _ = edges.keys.create("does not", Role.ADMIN, unmask=False)
    sees, does_not = Caller(app.test_client(), text), Caller(app.test_client(), other)
    assert one.unmask
    assert sees.post("/v1/keys", json={"name": "n", "unmask": True}).json["unmask"] is True
    assert sees.post("/v1/keys", json={"name": "n"}).json["unmask"] is False
    assert does_not.post("/v1/keys", json={"name": "n", "unmask": True}).status_code == 403
    assert does_not.post("/v1/keys", json={"name": "n", "role": "admin"}).json["unmask"] is False
    assert does_not.post(f"/v1/keys/{one.id}/rotate", json={}).status_code == 403
