"""Reads go to a replica: a real one, that follows the tests' PostgreSQL as it would in earnest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pipeline.cli import doctor
from pipeline.cli.doctor import database
from pipeline.ledger.api_keys import Role
from pipeline.local import postgres
from pipeline.local.component import Component, Process
from pipeline.local.stack import Stack
from pipeline.settings import Settings
from tests.support.http import Caller
from tests.support.records import BASE, ids, put, walked
from tests.support.shared_stack import WITHOUT_DURABILITY
from web import create_app
from web.app_context import AppContext


class Replica:
    """A PostgreSQL that was copied from the tests' own while it ran, and follows it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.folder = folder
        self.port = stack.home.port("replica", 5532)
        self.user = postgres._another_user() if os.geteuid() == 0 else None
        self.primary = urlsplit(postgres.url(stack.home))
        self._copy()
        self.process = self._start(folder.with_name("replica.log"))

    def url(self, database_url: str) -> str:
        """The replica of a database."""
        return database_url.replace(f":{self.primary.port}/", f":{self.port}/")

    def stop(self) -> None:
        self.process.stop()

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(self.primary.geturl()), autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def catch_up(self) -> None:
        """Wait until it has all that the primary has written so far."""
        with psycopg.connect(self.primary.geturl(), autocommit=True) as connection:
            ((written,),) = connection.execute("select pg_current_wal_insert_lsn()::text").fetchall()
        for _ in range(1200):
            with suppress(psycopg.OperationalError):  # replaying may cancel what is asked meanwhile
                if self.run(f"select pg_last_wal_replay_lsn() >= '{written}'") == [(True,)]:
                    return
            time.sleep(0.05)
        raise AssertionError("the replica does not catch up")

    def _copy(self) -> None:
        self.folder.mkdir(mode=0o700)
        if self.user is not None:
            postgres._open_path(self.folder)
            os.chown(self.folder, self.user, self.user)
        subprocess.run(
            [
                str(postgres._binary("pg_basebackup")),
                *("-d", self.primary.geturl(), "-D", str(self.folder)),
                *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"),
            ],
            check=True,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user is not None else None,
            timeout=360,
        )

    def _start(self, log: Path) -> Process:
        given = {**postgres._SETTINGS, **WITHOUT_DURABILITY, "max_standby_streaming_delay": "500ms"}
        options = [piece for name, value in given.items() for piece in ("-c", f"{name}={value}")]
        process = Process(
            Component(
                name="replica",
                command=[str(postgres._binary("postgres")), "-D", str(self.folder), "-p", str(self.port), *options],
                healthy=lambda: True,
                environment={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                user=self.user,
                stop_signal=signal.SIGINT,
            ),
            log,
        )
        for _ in range(200):
            try:
                if self.run("select pg_is_in_recovery()") == [(True,)]:
                    return process
            except psycopg.OperationalError:
                time.sleep(0.1)
        process.stop()
        raise AssertionError(f"the replica does not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def replica(stack: Stack) -> Iterator[Replica]:
    folder = Path(tempfile.mkdtemp(prefix="replica", dir=stack.home.path))
    one = Replica(stack, folder / "data")
    yield one
    one.stop()
    shutil.rmtree(folder)


@pytest.fixture
def settings(settings: Settings, replica: Replica) -> Settings:
    replica.catch_up()  # this test's own database, too
    return settings.model_copy(update={"database_read_url": replica.url(settings.database_url)})


def said(settings: Settings) -> doctor.Result:
    """What doctor says of the reads."""
    return next(doctor.checks(settings, ["reads"]))


def said_in_time(settings: Settings, expected: Callable[[doctor.Result], bool]) -> doctor.Result:
    """Return what doctor says as soon as it is as expected, or what it says last."""
    for _ in range(200):
        if expected(result := said(settings)):
            break
        time.sleep(0.05)
    return result


def test_records_and_sql_are_read_from_the_replica_and_all_else_goes_to_the_primary(
    api: Caller, settings: Settings, replica: Replica
) -> None:
    put(settings, ("old", None), ("child", "old"))
    replica.catch_up()
    assert ids(walked(api, f"{BASE}/old/children", counts="true")) == ["child"]
    replica.run("select pg_wal_replay_pause()")
    try:
        put(settings, ("new", "old"))
        assert api.get(f"{BASE}/new").status_code == 404, "the replica cannot know it yet"
        assert ids(walked(api, f"{BASE}/old/children")) == ["child"]
        count = api.post("/v1/query", json={"sql": "select count(*) as n from warehouse.records"}).json
        assert count["rows"] == [[2]]
        made = api.upload(b"id,parentId,name\n1,,x\n", dataset="records", filename="x.csv")
        assert made.status_code == 202
        assert api.get(f"/v1/imports/{made.json['id']}").json["id"] == made.json["id"], "the ledger is the primary's"
    finally:
        replica.run("select pg_wal_replay_resume()")
    replica.catch_up()
    assert api.get(f"{BASE}/new").json["parentId"] == "old"
    assert ids(walked(api, f"{BASE}/new/ancestors")) == ["old"]


def test_doctor_says_what_is_read_from_and_how_far_behind_it_is(
    settings: Settings, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, ("a", None))
    well = said_in_time(settings, lambda said: said.detail == "a replica, 0.0 s behind")  # other tests write meanwhile
    assert well.ok
    replica.run("select pg_wal_replay_pause()")
    try:
        put(settings, ("b", None))
        monkeypatch.setattr(database, "LAG_SECONDS_MAX", 0.2)
        behind = said_in_time(settings, lambda said: not said.ok)
        assert "s behind" in behind.detail and "pg_stat_wal_receiver" in behind.mend
    finally:
        replica.run("select pg_wal_replay_resume()")
    plain = said(settings.model_copy(update={"database_read_url": ""}))
    assert plain.ok and "DATABASE_READ_URL is not set" in plain.detail
    same = said(settings.model_copy(update={"database_read_url": settings.database_url}))
    assert same.ok and same.detail == "another server, which is not a replica"


def test_without_the_replica_reads_are_refused_clearly_and_writes_go_on(settings: Settings) -> None:
    away = settings.model_copy(update={"database_read_url": "postgresql://nobody:x@127.0.0.1:1/gone"})
    with closing(AppContext.of(away)) as edges:
        api = Caller(create_app(away, context=edges).test_client(), edges.keys.create("a test", Role.UPLOADER)[0])
        for answer in (api.get(BASE), api.post("/v1/query", json={"sql": "select 1"})):
            assert (answer.status_code, answer.json["code"]) == (503, "unreachable")
        assert api.upload(b"id,parentId,name\n1,,x\n", dataset="records", filename="x.csv").status_code == 202
    result = said(away)
    assert not result.ok and "DATABASE_READ_URL" in result.detail and "DATABASE_READ_URL" in result.mend


def test_a_query_that_delays_the_replica_is_ended_with_the_reason(api: Caller, settings: Settings, replica: Replica) -> None:
    """It reads a table that the primary is changing the columns of; the replica waits half a second for it here."""
    put(settings, *[(str(n), None) for n in range(1000)])
    replica.catch_up()
    slow = "select count(*) from warehouse.records a, warehouse.records b, warehouse.records c where a.id || b.id < c.id"
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(api.post("/v1/query", json={"sql": slow})))
    asking.start()
    time.sleep(1)
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("alter table warehouse.records add column colour text")
    asking.join(30)
    assert answers[0].json["code"] == "query_too_slow", answers[0].text
    assert "delayed replication" in answers[0].json["detail"]
    replica.catch_up()
    assert api.get(f"{BASE}/1").json["colour"] is None
