"""Two users on two datasets, with a key or signed in by SSO: whatever one of them asks, with whatever it may know of the other,
it never sees a byte of it.

The routes are taken from the app itself. Everything of the other user's bears a mark, and is put into every parameter. Each
answer is looked at twice: it holds no mark but those that were sent, and it is the same, but for what was sent, as the answer
to the same request about something that never was.
"""

from __future__ import annotations

import asyncio
import difflib
import html
import io
import json
import random
import re
import time
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pyarrow.parquet as pq
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from temporalio.client import Client
from werkzeug.test import TestResponse

from pipeline.contracts.messages import ObjectArrived
from pipeline.database_logins import DatabaseLogins
from pipeline.datasets.dataset import dataset_names, load_dataset
from pipeline.ledger.api_keys import ApiKey, Role
from pipeline.ledger.audit_record import AuditRecord
from pipeline.ledger.models import ImportRecord
from pipeline.ledger.sessions import Grant, Identity, ProviderSession
from pipeline.receive.drafts import find_draft, keep_draft
from pipeline.settings import Settings
from pipeline.warehouse.migrate import migrate
from pipeline.warehouse.query import console
from tests.support.http import Caller
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web import create_app
from web.api import events
from web.api.api_guides import GUIDES
from web.app_context import AppContext
from web.http import sso
from web.services import database_logins, drafts, key_scope

pytestmark = pytest.mark.early

SECONDS = 12.0
"""How long random requests are made after the obvious ones."""

OURS, THEIRS, NOBODYS = "amber", "zqxj", "wvkp"
"""The marks. What belongs to no dataset looks just like theirs."""

OPERATIONS = ["imports_get_import", "records_get_record", "records_list_records", "reports_errors", "audits_list_audits"]
"""Some that the pages at /docs/try send with the rights of the session."""

PAGE_QUERY = (
    "before",
    "state",
    "dataset",
    "id",
    "under",
    "after",
    "q",
    "token",
    "actor",
    "target",
    "draft",
    "filename",
    "level",
    "import_id",
    "record_id",
    "send",
)
PAGE_FORM = (
    *("key", "sql", "do", "name", "role", "receiver", "import_id", "dataset", "overlap_days", "expires_days"),
    *("kind", "labels", "values", "label", "days"),
    *("draft", "version", "retry_of", "confirm", "filename", "new.31.2"),
)

DO = {
    "/sql": ("run", "plan", "csv", "parquet", "xlsx", "chart"),
    "/upload/drafts/{draft_id}": ("look", "import"),
    "/imports/{import_id}/findings": (
        "again",
        "save",
        "use.1",
        "skip.31",
        "root.31",
        "unskip.31",
        "alike-skip.1",
        "alike-root.1",
    ),
}
"""The buttons of forms."""


@dataclass
class Side:
    """One user: a key on one dataset, and all that came of it."""

    mark: str
    text: str
    key: ApiKey
    imports: list[str] = field(default_factory=list)
    audits: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    drafts: list[str] = field(default_factory=list)
    uploads: list[tuple[str, str]] = field(default_factory=list)  # (upload id, S3 key)
    etags: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    @property
    def dataset(self) -> str:
        return f"bees_{self.mark}"

    @property
    def defined(self) -> str:
        """The dataset whose definition is in the database."""
        return f"hives_{self.mark}"

    def pool(self, name: str) -> list[str]:
        """Return plausible values of a parameter of that name."""
        records = [f"{self.mark}-1", f"{self.mark}-2", f"{self.mark}-bad"]
        keys = [key for _, key in self.uploads]
        known = {
            "dataset": [self.dataset, self.defined, f"{self.dataset}_roots", f"{self.defined}_tree"],
            "import_id": self.imports,
            "retry_of": self.imports,
            "draft_id": self.drafts,
            "guide": [*GUIDES],
            "operation": OPERATIONS,
            "send": ["1"],
            "draft": self.drafts,
            "version": ["1"],
            "If-Match": ["*", '"1"'],
            "file": [_rows(self.mark).decode()],
            "column": [f"{self.mark}_colour", "parentId", "name"],
            "new": [f"{OURS} mended"],
            "old": [f"{OURS} value 1"],  # what is stored with an edit of ours
            "value": [f"{self.mark}-missing", f"{self.mark} b"],
            "columns": [f"{self.mark}_colour"],
            "confirm": [self.dataset, self.defined],
            "audit_id": self.audits,
            "before": self.imports,
            "upload_id": [upload_id for upload_id, _ in self.uploads],
            "key": keys,
            "key_id": [self.key.id],
            "query_id": self.saved,
            "login_id": self.logins,
            "kind": ["bar", "line"],
            "labels": ["0"],
            "values": ["1"],
            "label": [f"{OURS} program"],
            "days": ["1"],
            "page": ["index.html", *(f"../../{one}/docs/index.html" for one in self.imports)],
            "part_number": ["1"],
            "partNumbers": ["1", "1,2"],
            "code": self.codes,
            "sql": self.queries(),
            "q": self.queries(),
            "filename": [f"{OURS} file.csv"],  # what is stored as ours is not to look as if it were not
            "name": [f"{OURS} name"],
        }
        if name in known:
            return known[name]
        if name.startswith("new."):  # a cell of the form of findings
            return known["new"]
        if name in ("cursor", "after"):
            return [*records, *self.imports, *self.audits]
        if name in ("record_id", "id", "under", "parentId"):
            return records
        return [self.dataset, *records, *self.imports, *keys, self.key.id]

    def queries(self) -> list[str]:
        """SQL about this user's own."""
        first = self.imports[0] if self.imports else ""
        return [
            f"select * from {self.dataset}",
            f"select * from warehouse.{self.dataset}",
            f"select no_such from {self.dataset}",
            f"select {self.mark}_colour from warehouse.{self.dataset}_roots",
            f"select null::{self.dataset}",
            f"select id, depth from {self.dataset}_tree",
            f"select * from {self.defined}",
            f"select 'warehouse.{self.dataset}'::regclass",
            "select * from import_findings order by value",
            f"select count(*) from import_findings where dataset = '{self.dataset}' or filename ~ '{self.mark}'",
            f"select * from import_findings where dataset = '{self.dataset}'",
            f"select * from import_findings where filename = '{self.mark} file.csv'",
            f"select * from import_findings where import_id = '{first}'",
            "select * from import_findings where value::int > 0",
            "select * from import_findings where message::int > 0",
            "select table_name, column_name from information_schema.columns",
            "select * from information_schema.tables",
            f"select string_agg(t::text, ' ') from information_schema.tables t where t::text ~ '{self.mark}'",
            f"select string_agg(t::text, ' ') from information_schema.udt_privileges t where t::text ~ '{self.mark}'",
            f"select 1 where exists (select 1 from import_findings where id = '{self.mark}-bad')",
        ]


@dataclass(frozen=True)
class Call:
    """One request. Every text in it may be exchanged for another."""

    method: str
    rule: str
    path: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None  # JSON, or with ``as_form`` the fields of a form, or bytes
    headers: dict[str, str] = field(default_factory=dict)
    as_form: bool = False

    @property
    def address(self) -> str:
        """The path with its arguments."""
        return re.sub(r"\{(\w+)\}", lambda match: quote(self.path[match[1]], safe=""), self.rule)

    @property
    def is_read(self) -> bool:
        """Asked once more, the answer is the same."""
        return self.method == "GET" or self.rule in ("/sql", "/v1/query", "/upload/look") or self.rule.endswith("/preview")

    def texts(self) -> list[str]:
        """All that was sent."""
        body = self.body.decode() if isinstance(self.body, bytes) else json.dumps(self.body)
        inner = [text for text in _leaves(self.body) if text]
        return [self.address, *self.path.values(), *self.query.values(), *self.headers.values(), body, *inner]

    def map(self, change: Callable[[str], str]) -> Call:
        """The same with other texts."""
        return replace(
            self,
            path=_mapped(self.path, change),
            query=_mapped(self.query, change),
            headers=_mapped(self.headers, change),
            body=_mapped(self.body, change),
        )


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _mapped(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_mapped(one, change) for one in value]
    if isinstance(value, bytes):
        return change(value.decode()).encode()
    return change(value) if isinstance(value, str) else value


# --- two users ---


@pytest.fixture
def settings(settings: Settings, a_root: Path) -> Settings:
    """With a dataset and a mart for each of them, whose columns bear the mark too."""
    for mark in (OURS, THEIRS):
        name = f"bees_{mark}"
        table = (a_root / "sql" / "tables" / "records.sql").read_text().replace("records", name)
        table = table.replace("    name text,", f"    name text check (name <> '{mark} poison'),\n    {mark}_colour text,")
        (a_root / "sql" / "tables" / f"{name}.sql").write_text(table)
        suite = (a_root / "expectations" / "records.json").read_text().replace("Records of any shape", f"Bees of {mark}")
        (a_root / "expectations" / f"{name}.json").write_text(suite.replace('"records"', f'"{name}"'))
        mart = f'-- the roots.\nselect id, {mark}_colour from warehouse.{name} where "parentId" is null\n'
        (a_root / "sql" / "marts" / f"{name}_roots.sql").write_text(mart)
    migrate(settings.database_url, root=a_root)
    return settings.model_copy(update={"datasets_root": a_root})


class Users:
    """Both of them, signed in and with a key, on one app."""

    def __init__(self, app: Flask, edges: AppContext) -> None:
        self.app, self.edges = app, edges
        self.ours, self.theirs = (self._side(mark) for mark in (OURS, THEIRS))
        self.secrets: dict[str, str] = {}  # of theirs, each with something that looks like it

    def _side(self, mark: str) -> Side:
        text, key = self.edges.keys.create(f"{mark} key", Role.UPLOADER, [f"bees_{mark}", f"hives_{mark}"])
        return Side(mark, text, key)

    def fill(self) -> None:
        """Imports of every kind for both, worked off; then uploads that are still open, and an import that waits."""
        for side in (self.ours, self.theirs):
            self._define(side)
        with running_worker(self.edges.settings):
            for side in (self.ours, self.theirs):
                self._upload(side, _rows(side.mark), "on_error=quarantine")
                self._upload(side, _rows(side.mark).replace(b"-1", b"-9"), "")
                self._upload(side, _rows(side.mark).replace(b"-1", b"-8"), "on_error=quarantine&dry_run=true")
                self._upload(side, _hives(side.mark), "", side.defined)
            for side in (self.ours, self.theirs):
                for one in side.imports:
                    known = self.edges.ledger.imports.known(one)
                    self.edges.temporal.announce(ObjectArrived(known.bucket, known.key, one))
            for side in (self.ours, self.theirs):
                for one in side.imports:
                    self._wait(one)
                self._have_written(side)
                self._audit(side)
        for side in (self.ours, self.theirs):
            self._save(side)
            self._edit(side)
            self._draft(side)
        for side in (self.ours, self.theirs):
            self._upload(side, _rows(side.mark).replace(b"-1", b"-7"), "")
            self._open(side)
            side.codes = [code for one in side.imports for code in self.edges.ledger.imports.known(one).findings_by_code]
        with psycopg.connect(self.edges.settings.database_url, autocommit=True) as connection:
            connection.execute("analyze")
        theirs = self.theirs
        private = [
            *theirs.imports,
            *theirs.audits,
            *theirs.saved,
            *theirs.logins,
            *theirs.drafts,
            theirs.key.id,
            *(upload_id for upload_id, _ in theirs.uploads),
        ]
        self.secrets = {one: _like(one) for one in private}

    def _define(self, side: Side) -> None:
        """Create a dataset from a file, as an admin does: its definition is in the database."""
        text, _ = self.edges.keys.create("an admin", Role.ADMIN)
        admin = Caller(self.app.test_client(), text)
        at = f"/v1/datasets/propose?name={side.defined}&filename={side.mark}.csv"
        definition = admin.post(at, data=_hives(side.mark)).json["definition"]
        answer = admin.post("/v1/datasets", json={"definition": {**definition, "title": f"Hives of {side.mark}"}})
        assert answer.status_code == 201, answer.text

    def _upload(self, side: Side, content: bytes, query: str, dataset: str = "") -> None:
        caller = Caller(self.app.test_client(), side.text)
        answer = caller.upload(
            content,
            dataset=dataset or side.dataset,
            filename=f"{side.mark} file.csv&{query}",
            headers={"Idempotency-Key": f"{side.mark}-{len(side.imports)}"},
        )
        assert answer.status_code == 202, answer.text
        side.imports.append(answer.json["id"])

    def _wait(self, import_id: str) -> None:
        wait_until(lambda: self.edges.ledger.imports.known(import_id).state.is_final, 300.0)

    def _have_written(self, side: Side) -> None:
        caller = Caller(self.app.test_client(), side.text)
        deadline = time.monotonic() + 180
        while caller.get(f"/v1/imports/{side.imports[0]}/results/succeeded?format=csv").status_code == 202:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _audit(self, side: Side) -> None:
        """Audit what is loaded, and a record without a parent that another client wrote."""
        with psycopg.connect(self.edges.settings.database_url) as connection:
            connection.execute(
                f"""insert into warehouse.{side.dataset} (id, "parentId", name, _import_id, _row)
                values ('{side.mark}-lost', '{side.mark}-gone', '{side.mark} lost', gen_random_uuid(), 1)"""
            )
        caller = Caller(self.app.test_client(), side.text)
        side.audits.append(caller.post(f"/v1/datasets/{side.dataset}/audits").json["id"])
        at = f"/v1/datasets/{side.dataset}/audits/{side.audits[0]}"
        wait_until(lambda: caller.get(at).json["state"] == "succeeded", 300.0)

    def _save(self, side: Side) -> None:
        """Save a query and run it, and make a login to the database; pages are read by a person, so ours are the person's."""
        owner = self.key_of_person() if side is self.ours else side.key
        sql, kept = f"select id, length(id) as n from {side.dataset} -- {side.mark} note", self.edges.ledger.saved_queries
        side.saved.append(kept.save(owner, f"{side.mark} query", sql, lambda _: lambda _: None))
        kept.note_run(owner, sql, seconds=0.1, rows=1, truncated=False)
        caller = Caller(self.app.test_client(), side.text)
        side.logins.append(caller.post("/v1/database-logins", json={"label": f"{side.mark} program"}).json["id"])

    def _edit(self, side: Side) -> None:
        """Correct an import, and remember how its file was read."""
        caller, first = Caller(self.app.test_client(), side.text), side.imports[0]
        edits = [
            {"row": 31, "column": "parentId", "new": f"{side.mark}-1"},
            {"row": 1, "column": "name", "new": f"{side.mark} mended"},
        ]
        answer = caller("PATCH", f"/v1/imports/{first}/patch", json={"edits": edits}, headers={"If-Match": '"0"'})
        assert answer.status_code == 200, answer.text
        header = _rows(side.mark).decode().splitlines()[0].split(",")
        asked = {"columns": header, "mapping": {f"{side.mark}_column": ""}, "filename": f"{side.mark}.csv"}
        assert caller("PUT", f"/v1/datasets/{side.dataset}/mappings", json=asked).status_code == 204

    def _draft(self, side: Side) -> None:
        """Keep files between two steps of a form; pages are read by a person, so ours are the person's."""
        owner = self.person() if side is self.ours else side.key.id
        for number in (1, 2, 3):
            draft = keep_draft(self.edges.store, owner, f"{side.mark} draft {number}.csv", iter([_rows(side.mark)]))
            side.drafts.append(draft.id)

    def person(self) -> str:
        """Return the ID of the person that our user is on the pages."""
        return self.edges.sessions.know(Identity("https://id.example", OURS, f"{OURS} person"))

    def key_of_person(self) -> ApiKey:
        """Return the person as the owner of queries."""
        return replace(self.ours.key, id=self.person())

    def _open(self, side: Side) -> None:
        caller = Caller(self.app.test_client(), side.text)
        asked = {"filename": f"{side.mark} large.csv", "metadata": {"dataset": side.dataset}}
        opened = caller.post("/s3/multipart", json=asked).json
        side.uploads.append((opened["uploadId"], opened["key"]))
        side.imports.append(opened["id"])
        at = f"/s3/multipart/{opened['uploadId']}/1?key={opened['key']}"
        sent = requests.put(caller.get(at).json["url"], data=_rows(side.mark), timeout=300)
        side.etags.append(sent.headers["ETag"])

    # --- what is never to change, nor to be seen ---

    def their_state(self) -> list[Any]:
        """All that there is of theirs, in PostgreSQL and in S3."""
        imports, found = [uuid.UUID(one) for one in self.theirs.imports], []
        with psycopg.connect(self.edges.settings.database_url) as connection:
            for table, column in _OF_IMPORTS:
                query = f"select t::text from ledger.{table} as t where {column} = any(%s) order by 1"
                found.append(connection.execute(query, (imports,)).fetchall())  # type: ignore[call-overload]
            for query in (
                f"select t::text from warehouse.{self.theirs.dataset} as t order by 1",
                f"select t::text from warehouse.{self.theirs.defined} as t order by 1",
                f"select t::text from ledger.dataset_definition as t where name = '{self.theirs.defined}' order by 1",
                f"select t::text from ledger.mapping as t where dataset = '{self.theirs.dataset}' order by 1",
                f"select count(*) from ledger.import where dataset = '{self.theirs.dataset}'",
                f"select t::text from ledger.audit as t where dataset = '{self.theirs.dataset}' order by 1",
                f"select t::text from ledger.audit_finding as t where audit_id = '{self.theirs.audits[0]}' order by 1",
                f"select t::text from access.idempotency as t where key_id = '{self.theirs.key.id}' order by 1",
                f"select t::text from access.api_key as t where id = '{self.theirs.key.id}'",
                "select count(*) from access.api_key",
                f"select count(*) from ledger.audit_event where actor_id = '{self.theirs.key.id}'",
                f"select t::text from access.saved_query as t where owner_id = '{self.theirs.key.id}'",
                f"select t::text from access.query_run as t where owner_id = '{self.theirs.key.id}'",
                f"select t::text from access.database_login as t where owner_id = '{self.theirs.key.id}'",
            ):
                found.append(connection.execute(query).fetchall())
        store, marks = self.edges.store, [self.theirs.dataset, self.theirs.defined, *self.theirs.imports, *self.theirs.drafts]
        found.append(sorted((one.key, one.etag) for one in store.list("") if any(mark in one.key for mark in marks)))
        found.append([[(part.number, part.etag) for part in store.parts(key, upload)] for upload, key in self.theirs.uploads])
        return found

    def as_if_it_never_was(self, text: str) -> str:
        """Return the same text about something that looks like theirs and does not exist."""
        for secret, other in self.secrets.items():
            text = text.replace(secret, other).replace(secret.upper(), other.upper())
        return text.replace(THEIRS, NOBODYS).replace(THEIRS.upper(), NOBODYS.upper())

    def marks_in(self, text: str, sent: list[str]) -> set[str]:
        """What of theirs a text holds beside what was sent."""
        marks = [THEIRS, *self.secrets, *self.theirs.etags]
        for one in sorted(_echoes(sent, marks), key=len, reverse=True):
            text = text.replace(one, "")
        return {mark for mark in (*marks, *(one.replace("-", "") for one in self.secrets)) if mark in text}


_OF_IMPORTS = [
    ("import", "id"),
    *((table, "import_id") for table in ("move", "part", "failure", "finding", "delivery", "patch")),
]


def _rows(mark: str) -> bytes:
    """A file with good records, one that the warehouse refuses, and findings whose values bear the mark."""
    rows = [f"{mark}-{n},{mark}-1,{mark} value {n},{mark} red,{mark} more" for n in range(2, 30)]
    rows += [f"{mark}-bad,{mark}-missing,{mark} orphan,,", f"{mark}-twice,,a,,", f"{mark}-twice,,{mark} b,,"]
    rows += [f"{mark}-poison,{mark}-1,{mark} poison,,", f"{mark}-1,,{mark} value 1,,"]
    return "\n".join([f"id,parentId,name,{mark}_colour,{mark}_column", *rows, ""]).encode()


def _hives(mark: str) -> bytes:
    """A file of the dataset that is made of it."""
    rows = [f"{mark}-h{n},{f'{mark}-h1' if n > 1 else ''},{mark} hive {n}" for n in range(1, 6)]
    return "\n".join([f"id,parentId,{mark}_wood", *rows, ""]).encode()


def _like(text: str) -> str:
    """Other digits in the same places."""
    return re.sub(r"[0-9a-f]", lambda match: "123456789abcdef0"[int(match[0], 16)], text)


def _echoes(sent: list[str], marks: Iterable[str]) -> set[str]:
    """What was sent, whole and word by word, as a page, a header or a document may write it."""
    words = {word for text in sent for word in (text, *re.findall(r"[\w.-]+", text), *re.findall(r"[\w-]+", text))}
    words |= {word.lower() for word in words}  # as PostgreSQL reads names
    marked = {word for word in words if any(mark in word for mark in marks)}
    ways = (str, html.escape, quote, lambda word: html.escape(quote(word, safe="")), lambda word: json.dumps(word)[1:-1])
    return {way(word) for word in marked for way in ways}


def text_of(answer: TestResponse) -> str:
    """All that an answer says, headers and packed files too."""
    data, kind = answer.data, answer.content_type or ""
    head = "\n".join(f"{name}: {value}" for name, value in answer.headers if name not in ("Date", "X-Request-Id", "Set-Cookie"))
    if "parquet" in kind:
        table = pq.read_table(io.BytesIO(data))
        return head + str(table.schema) + str(table.to_pylist())
    if "spreadsheetml" in kind:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return head + "".join(packed.read(name).decode("utf-8", "replace") for name in packed.namelist())
    return head + data.decode("utf-8", "replace")


_OF_THE_MOMENT = [
    (r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", "<id>"),
    (r'name="csrf_token" value="[^"]*"|content="[^"]{60,}"', "<token>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.Z+]*|\d+ [A-Z][a-z]{2}( \d{4})?, \d\d:\d\d(:\d\d)?", "<time>"),
    (r'"seconds": ?[0-9.e-]+|in \d+\.\d+ s', "<seconds>"),
    (r"id: \d+-", "<time>"),
    (r"(?m)^(ETag|Content-Length|RateLimit): .*$", ""),
    (r"X-Amz-\w+=[^&\"]*", "<signed>"),
    (r'"(policy|x-amz-\w+)": ?"[^"]*"', "<signed>"),
    (r"[^/\s'\"]*(\u2026|\\u2026)", "<cut>"),  # where an echoed value is cut, a piece of an id or a marked name is left
]


def settled(text: str) -> str:
    """Without what is another each time."""
    for pattern, instead in _OF_THE_MOMENT:
        text = re.sub(pattern, instead, text)
    return text


def both_settled(one: str, two: str) -> tuple[str, str]:
    """The same for two texts, of which only the lines that differ are looked at: most are long, and the same."""
    if one == two:
        return "", ""
    lines = [*zip(one.split("\n"), two.split("\n"), strict=False)]
    if one.count("\n") != two.count("\n"):
        return settled(one), settled(two)
    differing = [pair for pair in lines if pair[0] != pair[1]]
    return settled("\n".join(pair[0] for pair in differing)), settled("\n".join(pair[1] for pair in differing))


# --- asking ---


class Curious:
    """Our user, asking all there is to ask. ``wrong`` collects what should not have been."""

    def __init__(self, users: Users, chance: random.Random) -> None:
        self.users, self.chance = users, chance
        self.api = Caller(users.app.test_client(), users.ours.text)
        self.browser = self._signed_in()
        self.tokens: dict[FlaskClient, str] = {}
        self.asked = 0
        self.answered: set[tuple[str, str, bool]] = set()
        self.statuses: dict[tuple[str, str], set[int]] = defaultdict(set)
        self.wrong: dict[tuple[str, str], str] = {}  # the first of each kind
        self.written: set[str] = set()  # the queries that were sent, and so may be in our own history
        spec = users.app.test_client().get("/openapi.json").json
        self.operations = sorted([*self._of_api(spec), *self._of_pages()], key=lambda operation: operation[0] != "GET")
        self.schemas = spec["components"]["schemas"]

    def _signed_in(self) -> FlaskClient:
        """Sign in as a person: the pages are read by a person, the API by a key."""
        client, key, sessions = self.users.app.test_client(), self.users.ours.key, self.users.edges.sessions
        grant = Grant(key.role, key.datasets, self.users.app.extensions["sso"].digest)
        token = sessions.open(self.users.person(), grant, ProviderSession("", ""), limit=timedelta(hours=1), address="")
        with client.session_transaction() as session:
            session[sso.TOKEN] = token
        return client

    def _of_api(self, spec: dict[str, Any]) -> Iterator[tuple[str, str, list[Any], Any]]:
        for rule, item in spec["paths"].items():
            for method, operation in item.items():
                content = operation.get("requestBody", {}).get("content", {})
                yield method.upper(), rule, operation.get("parameters", []), content

    def _of_pages(self) -> Iterator[tuple[str, str, list[Any], Any]]:
        """Every other route of the app, with whatever any page asks a request for."""
        for rule in self.users.app.url_map.iter_rules():
            if (rule.rule.startswith(("/v1/", "/s3/")) and "/report" not in rule.rule) or rule.endpoint == "static":
                continue
            if rule.rule.startswith("/sign-in/sso"):
                continue  # before it is known who asks: tests/integration/web/pages/test_single_sign_on.py
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            named = [{"in": "path", "name": name, "schema": {}} for name in rule.arguments]
            asked = [{"in": "query", "name": name, "schema": {}} for name in PAGE_QUERY]
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                form = {"application/octet-stream": {}} if path == "/upload/look" else {"form": PAGE_FORM}
                yield method, path, [*named, *asked], form if method == "POST" else {}

    # --- making requests ---

    def obvious(self, first: str = "") -> Iterator[Call]:
        """About each thing of theirs, on every route; then about our own, with theirs in all that is not in the path.

        ``first``: a part of the routes to begin with.
        """
        if first == "/sql":
            yield from self._of_sql()
        for operation in sorted(self.operations, key=lambda operation: first not in operation[1]):
            yield from self._about(operation)
        yield from self._of_sql()

    def _about(self, operation: tuple[str, str, list[Any], Any]) -> Iterator[Call]:
        theirs, ours = self.users.theirs, self.users.ours
        method, rule, *_ = operation
        yield self._made(operation, lambda name, **_: _turn(theirs.pool(name), 0))
        yield self._made(operation, lambda name, **_: ours.pool(name)[0])
        if self.statuses[method, rule] == {403}:
            return  # it is for admins: what is asked is not looked at
        is_of_sql = rule in ("/sql", "/v1/query") or ("sql" in rule and method == "POST")
        for turn in range(1, len(theirs.queries()) if is_of_sql else len(theirs.imports)):
            yield self._made(operation, lambda name, turn=turn, **_: _turn(theirs.pool(name), turn))
        yield self._made(operation, lambda name, where, **_: (ours if where == "path" else theirs).pool(name)[0])
        yield self._made(operation, lambda name, where, **_: ours.pool(name)[0] if where == "path" else None)
        if "application/octet-stream" in operation[3]:  # their file as it is, to our datasets
            mine = {"path": ours, "body": theirs}
            yield self._made(operation, lambda name, where, **_: mine[where].pool(name)[0] if where in mine else None)

    def _of_sql(self) -> Iterator[Call]:
        """Every query about theirs and ours in every form, and conditions that could be looked at before the dataset's."""
        theirs, ours = self.users.theirs, self.users.ours
        others = ", ".join(f"'{one}'" for one in ours.imports)
        # A value is masked by its dataset, an id is not: a condition on it alone can be asked before that on the dataset.
        spared = [
            f"(case when import_id::text in ({others}) then '1' else {column} end)::int > 0" for column in ("value", "id")
        ]
        conditions = [*spared, *(f"code = 'missing_parent' and {one}" for one in spared)]
        prying = [f"select count(*) from import_findings where {condition}" for condition in conditions]
        for sql in (*theirs.queries(), *ours.queries(), *prying):
            for what in ("run", "plan", "csv", "parquet", "xlsx"):
                yield Call("POST", "/sql", {}, body={"sql": sql, "do": what}, as_form=True)

    def random(self) -> Iterator[Call]:
        """Anything, for ever."""
        while True:
            operation = self.chance.choice(self.operations)
            yield self._made(operation, self._chosen)

    def _chosen(self, name: str, where: str) -> str | None:
        if where != "path" and self.chance.random() < 0.5:
            return None
        side = self.users.theirs if self.chance.random() < 0.7 else self.users.ours
        if name not in ("filename", "name", "label", "new", "new.31.2", "old") and self.chance.random() < 0.1:
            name = self.chance.choice(["dataset", "import_id", "key", "cursor", "sql"])
        found = self.chance.choice(side.pool(name) or [side.dataset])
        twist = self.chance.random()
        return found if twist < 0.9 else found.upper() if twist < 0.95 else f"{found}/../{found}"

    def _made(self, operation: tuple[str, str, list[Any], Any], choose: Callable[..., str | None]) -> Call:
        method, rule, parameters, content = operation
        path, query = {}, {}
        for one in parameters:
            value = self._value(one["schema"], one["name"], one["in"], choose)
            if one["in"] == "path":
                path[one["name"]] = value or "x"
            elif one["in"] == "query" and value is not None:
                query[one["name"]] = value
        headers = {}
        if (given := choose(name="idempotency", where="header")) and method == "POST":
            headers = {"Idempotency-Key": f"{self.users.theirs.mark}-0", "X-Request-Id": given, "Last-Event-ID": given}
        if rule.endswith("/patch") and method != "GET":
            headers = {"If-Match": choose(name="If-Match", where="header") or "*"}
        body, as_form = self._body(content, choose, rule)
        return Call(method, rule, path, query, body, headers, as_form)

    def _value(self, schema: dict[str, Any], name: str, where: str, choose: Callable[..., str | None]) -> str | None:
        kinds = [schema, *schema.get("anyOf", [])]
        choices = [choice for kind in kinds for choice in kind.get("enum", [])]
        types = {kind.get("type") for kind in kinds}
        value = choose(name=name, where=where)
        if value is None or not (choices or types & {"integer", "boolean", "number"}):
            return value
        if self.chance.random() < 0.15:
            return value
        return str(self.chance.choice(choices or (["true", "false"] if "boolean" in types else ["1", "2", "100"])))

    def _body(self, content: dict[str, Any], choose: Callable[..., str | None], rule: str) -> tuple[Any, bool]:
        if "form" in content:
            fields = {name: value for name in content["form"] if (value := choose(name=name, where="form")) is not None}
            if "do" in fields:
                fields["do"] = self.chance.choice(DO.get(rule, DO["/sql"]))
            return fields, True
        if "text/csv" in content:
            return _rows(OURS), False
        if "application/octet-stream" in content:  # nothing of it is kept, so it may be theirs
            return (choose(name="file", where="body") or _rows(OURS).decode()).encode(), False
        schema = content.get("application/json", {}).get("schema", {})
        return (self._document(schema, choose, "") if schema else None), False

    def _document(self, schema: dict[str, Any], choose: Callable[..., str | None], name: str) -> Any:
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        if name == "metadata":
            return {"dataset": choose(name="dataset", where="body") or self.users.ours.dataset, "name": f"{OURS}.csv"}
        if schema.get("type") == "object" or "properties" in schema:
            inner = {one: self._document(kind, choose, one) for one, kind in schema.get("properties", {}).items()}
            return {one: value for one, value in inner.items() if value is not None}
        if name == "parts":
            return [{"PartNumber": 1, "ETag": self.users.theirs.etags[0]}]
        if schema.get("type") == "array":
            return [one] if (one := self._document(schema.get("items", {}), choose, name)) is not None else []
        if schema.get("type") == "integer" or name.endswith("_rows") or name == "roots":
            return self.chance.choice([1, 31]) if name.endswith(("row", "_rows", "roots")) else 1
        if schema.get("type") == "boolean":
            return None
        if inner := next((kind for kind in schema.get("anyOf", []) if "$ref" in kind), None):
            return self._document(inner, choose, name)
        return self._value(schema, name, "body", choose)

    # --- and looking at what comes back ---

    def ask(self, call: Call) -> None:
        """One request, and the same about what never was, if that cannot have changed by the first."""
        self.asked += 1
        answer = self._sent(call)
        text = text_of(answer)
        self.answered.add((call.method, call.rule, answer.status_code < 400))
        self.statuses[call.method, call.rule].add(answer.status_code)
        if "Traceback" in text or "site-packages" in text:
            self._complain("shows our code", "", call, text)
        elif marks := self.users.marks_in(text, [*call.texts(), *self.of_history(call)]):
            self._complain("shows", marks, call, text)
        elif answer.status_code >= 500:
            self._complain("breaks", answer.status_code, call, text)
        elif call.is_read or (answer.status_code >= 400 and "Idempotency-Key" not in call.headers):
            other = call.map(self.users.as_if_it_never_was)
            second = text_of(self._sent(other))
            if self.of_history(call):  # both have what was sent before
                second = self.users.as_if_it_never_was(second)
            one, two = both_settled(self.users.as_if_it_never_was(text), second)
            if one != two:
                lines = difflib.unified_diff(
                    one.splitlines(), two.splitlines(), "what is theirs", "what never was", n=0, lineterm=""
                )
                self._complain("tells apart", "", call, "\n".join(lines))

    def of_history(self, call: Call) -> set[str]:
        """Return what our own history, or a query that was saved under our name, may quote: what we sent before."""
        if call.as_form and "sql" in call.body:
            self.written.add(call.body["sql"])
        return self.written if call.rule.startswith(("/sql/history", "/sql/saved")) else set()

    def _sent(self, call: Call) -> TestResponse:
        is_page = not call.rule.startswith(("/v1/", "/s3/"))
        if not is_page:
            options: dict[str, Any] = (
                {"data": call.body} if isinstance(call.body, bytes) else {"json": call.body} if call.body else {}
            )
            return self.api(call.method, call.address, query_string=call.query, headers=call.headers, buffered=True, **options)
        options = {"headers": {**call.headers, "Accept": "text/html"}}
        if call.as_form:
            options["data"] = self._form(call)
        elif isinstance(call.body, bytes):
            options["data"], options["headers"]["X-CSRF-Token"] = call.body, self._token()
        browser = self.browser
        if call.rule in ("/sign-out", "/sign-in"):
            self.browser = self._signed_in()  # the one that is used here is signed out by it
        return browser.open(call.address, method=call.method, query_string=call.query, buffered=True, **options)

    def _form(self, call: Call) -> dict[str, Any]:
        fields = {"csrf_token": self._token(), **call.body}
        if call.rule in ("/upload", "/upload/drafts", "/datasets/new"):
            fields["file"] = (io.BytesIO(_rows(OURS)), f"{OURS}.csv")
        return fields

    def _token(self) -> str:
        """Return the session's token for forms, which a page is asked for once."""
        if self.browser not in self.tokens:
            token = re.search(r'name="csrf_token" value="([^"]+)"', self.browser.get("/sql").text)
            assert token is not None
            self.tokens[self.browser] = token[1]
        return self.tokens[self.browser]

    def _complain(self, what: str, of: Any, call: Call, text: str) -> None:
        said = f"{call.method} {call.address} {call.query} {call.body!r} {what} {of}\n{text[:1000]}"
        self.wrong.setdefault((call.rule, what), said)


def _turn(pool: list[str], turn: int) -> str:
    return pool[turn % len(pool)] if pool else "x"


@pytest.fixture
def app(settings: Settings, edges: AppContext) -> Flask:
    """The app with single sign-on, whose provider is never asked."""
    rules = '[{"claim": "sub", "equals": "x", "role": "reader"}]'
    given = {"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_rules": rules}
    return create_app(settings.model_copy(update=given), context=edges)


@pytest.fixture
def users(app: Flask, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Users]:
    """With all that two users may have. Logins to the database end with the test: their roles are of the whole server."""
    monkeypatch.setattr(events, "STREAM_SECONDS", 0.0)
    both = Users(app, edges)
    both.fill()
    yield both
    logins = DatabaseLogins(edges.engine, edges.settings)
    for owner_id in {one.owner_id for one in logins.list(None)}:
        logins.end_of(owner_id, "The test ended.")


def test_no_key_sees_a_byte_of_another_keys_datasets(users: Users, pytestconfig: pytest.Config) -> None:
    seed = random.randrange(1 << 32)
    curious, before = Curious(users, random.Random(seed)), users.their_state()
    for call in curious.obvious():
        curious.ask(call)
    until = time.monotonic() + SECONDS * pytestconfig.getoption("--many")
    for call in curious.random():
        curious.ask(call)
        if time.monotonic() > until:
            break
    assert not curious.wrong, f"seed {seed}, {curious.asked} requests\n" + "\n\n".join(curious.wrong.values())
    assert users.their_state() == before
    read = {rule for method, rule, is_fine in curious.answered if is_fine and method == "GET"}
    shut = {rule for method, rule, *_ in curious.operations if method == "GET"} - read
    assert sorted(shut - FOR_ADMINS) == [], "of every other route, something of our own was seen"


FOR_ADMINS = {
    *("/v1/keys", "/v1/audit-log", "/admin/keys", "/admin/webhooks", "/admin/audit-log", "/admin/settings"),
    *("/v1/webhooks", "/v1/webhooks/{webhook_id}/deliveries", "/v1/imports/{import_id}/deliveries"),
    *("/v1/datasets/{dataset}/definition", "/datasets/new", "/datasets/{dataset}/change"),
}


# --- and it can fail ---


def _role_of_all(change: pytest.MonkeyPatch, users: Users) -> None:
    change.setattr(key_scope, "sql_login", lambda: users.edges.sql_logins.of_all)


def _any_import(change: pytest.MonkeyPatch, users: Users) -> None:
    def found(import_id: str) -> ImportRecord | None:
        with suppress(ValueError):
            return users.edges.ledger.imports.get(str(uuid.UUID(import_id)))
        return None

    change.setattr(key_scope, "import_of", found)


def _any_audit(change: pytest.MonkeyPatch, users: Users) -> None:
    def found(_: str, audit_id: str) -> AuditRecord | None:
        with suppress(ValueError):
            return users.edges.ledger.audits.get(str(uuid.UUID(audit_id)))
        return None

    change.setattr(key_scope, "audit_of", found)


def _any_dataset(change: pytest.MonkeyPatch, users: Users) -> None:
    change.setattr(key_scope, "dataset", lambda name: load_dataset(name, users.edges.settings.datasets_root))


def _every_dataset(change: pytest.MonkeyPatch, users: Users) -> None:
    root = users.edges.settings.datasets_root
    change.setattr(key_scope, "datasets", lambda: [load_dataset(name, root) for name in dataset_names(root)])


def _every_import(change: pytest.MonkeyPatch, users: Users) -> None:
    change.setattr(key_scope, "imports", users.edges.ledger.imports.page)


def _names_of_all(change: pytest.MonkeyPatch, users: Users) -> None:
    change.setattr(key_scope, "load_dataset", lambda name, root, among=None: load_dataset(name, root))


def _any_plan(change: pytest.MonkeyPatch, users: Users) -> None:
    change.setattr(console, "_refuse_to_estimate_others", lambda *_: None)


def _no_barrier(change: pytest.MonkeyPatch, users: Users) -> None:
    name = users.edges.sql_logins.of(users.ours.key.datasets).engine.url.username
    with psycopg.connect(users.edges.settings.database_url) as connection:
        connection.execute(f"alter view {name}.import_findings set (security_barrier = false)")


def _any_saved_query(change: pytest.MonkeyPatch, users: Users) -> None:
    kept, real = users.edges.ledger.saved_queries, users.edges.ledger.saved_queries.get
    change.setattr(kept, "get", lambda owner, query_id: real(owner, query_id) or real(users.theirs.key, query_id))


def _every_query(change: pytest.MonkeyPatch, users: Users) -> None:
    kept, real = users.edges.ledger.saved_queries, users.edges.ledger.saved_queries.list
    change.setattr(kept, "list", lambda owner: [*real(owner), *real(users.theirs.key)])


def _every_run(change: pytest.MonkeyPatch, users: Users) -> None:
    kept, real = users.edges.ledger.saved_queries, users.edges.ledger.saved_queries.runs
    change.setattr(kept, "runs", lambda owner: [*real(owner), *real(users.theirs.key)])


def _every_login(change: pytest.MonkeyPatch, users: Users) -> None:
    change.setattr(database_logins, "_whose", lambda: None)


def _any_draft(change: pytest.MonkeyPatch, users: Users) -> None:
    change.setattr(
        drafts, "find_draft", lambda *asked: find_draft(*asked) or find_draft(asked[0], users.theirs.key.id, asked[2])
    )


def _every_mapping(change: pytest.MonkeyPatch, users: Users) -> None:
    kept, real = users.edges.ledger.mappings, users.edges.ledger.mappings.latest
    change.setattr(kept, "latest", lambda names, columns: real([*names, users.theirs.dataset], columns))


def _every_definition(change: pytest.MonkeyPatch, users: Users) -> None:
    root, real = users.edges.datasets.root(), key_scope.datasets
    change.setattr(key_scope, "datasets", lambda: [*real(), load_dataset(users.theirs.defined, root)])


def _any_definition(change: pytest.MonkeyPatch, users: Users) -> None:
    root, real = users.edges.datasets.root(), key_scope.dataset
    change.setattr(key_scope, "dataset", lambda name: load_dataset(name, root) if name == users.theirs.defined else real(name))


MUTATIONS = {
    _any_saved_query: "/sql/saved",
    _every_query: "/sql",
    _every_run: "/sql/history",
    _every_login: "/database-logins",
    _any_draft: "/drafts",
    _every_mapping: "/preview",
    _every_definition: "/v1/datasets",
    _any_definition: "/hierarchy",
    _role_of_all: "/sql",
    _any_import: "/patch",
    _any_audit: "/audits",
    _any_dataset: "/numbers",
    _every_dataset: "/preview",
    _every_import: "/v1/imports",
    _names_of_all: "/v1/datasets",
    _any_plan: "/sql",
    _no_barrier: "/sql",
}
"""What is changed, and a part of the routes that are asked first."""


def test_without_any_one_of_the_checks_something_is_seen(users: Users) -> None:
    for mutation, first in MUTATIONS.items():
        curious = Curious(users, random.Random(1))
        with pytest.MonkeyPatch.context() as change:
            mutation(change, users)
            for call in curious.obvious(first):
                curious.ask(call)
                if curious.wrong:
                    break
        assert curious.wrong, f"{mutation.__name__} was not noticed by {curious.asked} requests"


# --- and what operators see ---


def test_no_id_and_no_value_of_a_record_passes_through_temporal(users: Users) -> None:
    """The operator of Temporal can read its histories: keys of S3 are in them, and counts."""
    histories = asyncio.run(_histories(users.edges.settings))
    assert len(histories) > 6
    said = b"".join(histories)
    assert users.theirs.dataset.encode() in said and users.theirs.imports[0].encode() in said
    for word in ("-1", "-bad", "-twice", " value", " red", " more", " orphan", " poison"):
        assert f"{THEIRS}{word}".encode() not in said, word


async def _histories(settings: Settings) -> list[bytes]:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    found = [one async for one in client.list_workflows()]
    handles = [client.get_workflow_handle(one.id, run_id=one.run_id) for one in found]
    return [b"".join([event.SerializeToString() async for event in one.fetch_history_events()]) for one in handles]
