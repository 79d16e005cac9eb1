"""`bulkhead doctor` against real servers: what is well, and each thing that may be wrong with what to do about it."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.cli import doctor
from pipeline.cli.doctor import machine, network, results, running
from pipeline.settings import Settings
from tests.support.workers import running_worker


@pytest.fixture
def found(settings: Settings) -> Callable[..., doctor.Result]:
    """What one check finds with settings that differ."""

    def find(name: str, **changes: Any) -> doctor.Result:
        return next(doctor.checks(settings.model_copy(update=changes), [name]))

    return find


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on a free port; ``handle`` is given each connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    handle(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A certificate for localhost with its key, valid for some days."""
    folder = tmp_path_factory.mktemp("tls")

    def make(days: int) -> Path:
        file = folder / f"{days}.pem"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subprocess.run(
            [*command, "-days", str(days), *names, "-keyout", file, "-out", folder / "crt"], check=True, capture_output=True
        )
        file.write_bytes(file.read_bytes() + (folder / "crt").read_bytes())
        return file

    return make


@contextmanager
def tls_server(pem: Path) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with serving(handle) as port:
        yield port


# --- all at once ---


def test_checks_run_side_by_side_and_one_that_hangs_delays_none(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    both = threading.Barrier(2, timeout=300)
    monkeypatch.setattr(running, "PROBE_SECONDS", 2.0)

    def meets(settings: Settings) -> str:
        both.wait()
        return "met"

    probes = [
        doctor.Probe("hangs", lambda settings: str(free.wait())),
        doctor.Probe("one", meets),
        doctor.Probe("other", meets),
        doctor.Probe("raises", lambda settings: str(1 / 0), lambda settings: "there"),
    ]
    hanging, *others = running.run(probes, settings)
    free.set()
    assert (hanging.state, hanging.detail) == ("fail", "no answer within 2 s")
    assert [one.state for one in others] == ["ok", "ok", "fail"]
    assert (others[2].detail, others[2].where) == ("ZeroDivisionError: division by zero", "there")


def test_a_check_that_has_to_wait_begins_after_the_other(settings: Settings) -> None:
    order: list[str] = []
    probes = [
        doctor.Probe("late", lambda settings: order.append("late") or "", after="early"),
        doctor.Probe("early", lambda settings: order.append("early") or ""),
    ]
    assert [one.name for one in running.run(probes, settings)] == ["late", "early"]
    assert order == ["early", "late"]


def test_a_warning_is_no_failure() -> None:
    soon = datetime.now(tz=UTC)
    assert results.clock_difference(soon, soon, soon, "S3") == "same time"
    assert results.clock_difference(soon + timedelta(seconds=3), soon, soon, "S3") == "clocks 3 s apart"
    with pytest.raises(doctor.Doubtful, match=r"the clock of S3 differs from this machine's by 90 s"):
        results.clock_difference(soon - timedelta(seconds=90), soon, soon, "S3")


# --- PostgreSQL ---


def test_postgresql(found: Callable[..., doctor.Result], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PostgreSQL", "role", "space", "tables", "marts", "reads"):
        assert found(name).state == "ok", found(name)
    monkeypatch.setattr("pipeline.cli.doctor.database.is_local", lambda settings: False)
    assert found("role").state == "warn" and "is a superuser" in found("role").detail
    monkeypatch.setattr("pipeline.cli.doctor.database.MAJORS", range(10, 12))
    assert found("PostgreSQL").state == "warn"
    monkeypatch.setattr("pipeline.cli.doctor.database.MAJORS", range(90, 92))
    assert found("PostgreSQL").state == "fail" and "Use a version from 90 to 91" in found("PostgreSQL").mend
    away = found("PostgreSQL", database_url="postgresql://bulkhead:a-password@127.0.0.1:1/gone")
    assert away.state == "fail" and away.detail.startswith("PostgreSQL does not answer: ")
    assert "a-password" not in str(away) and "127.0.0.1:1" in away.where


def test_a_table_without_its_trigger_and_a_mart_that_failed(found: Callable[..., doctor.Result], settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        mart = connection.execute(
            "select matviewname from pg_matviews where schemaname = 'warehouse' order by 1 limit 1"
        ).fetchone()
        triggers = connection.execute(
            "select distinct tgname from pg_trigger where tgrelid = 'warehouse.records'::regclass and not tgisinternal"
        ).fetchall()
        for (trigger,) in triggers:
            connection.execute(f'drop trigger "{trigger}" on warehouse.records')
        missing = found("tables")
        assert missing.state == "fail" and "note writes of other clients" in missing.detail
        if mart is None:
            return
        dataset = connection.execute(
            """select pg_class.relname from pg_depend join pg_rewrite on pg_depend.objid = pg_rewrite.oid
            join pg_class on pg_class.oid = pg_depend.refobjid and pg_class.relkind = 'r'
            where pg_rewrite.ev_class = ('warehouse.' || quote_ident(%s))::regclass limit 1""",
            mart,
        ).fetchone()
        assert dataset is not None
        connection.execute(
            "insert into ledger.mart_wanted (dataset, wanted_at, tried_at) values (%s, now() - interval '1 h', now())"
            " on conflict (dataset) do update set wanted_at = excluded.wanted_at, tried_at = excluded.tried_at",
            dataset,
        )
        connection.execute(
            "insert into ledger.mart (dataset, name, tried_at, error) values (%s, %s, now(), 'too slow')", (*dataset, *mart)
        )
    said = found("marts")
    assert said.state == "warn" and "too slow" in said.detail and mart[0] in said.detail


# --- S3 ---


def test_the_object_store_and_a_rule_that_removes_what_is_needed(
    found: Callable[..., doctor.Result], store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = found("S3")
    assert well.state == "ok" and well.detail.startswith(f"bucket {settings.bucket}: put, get and delete"), well
    assert [*store.list("doctor/")] == []
    store._s3.put_bucket_lifecycle_configuration(
        Bucket=store.bucket,
        LifecycleConfiguration={
            "Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "reports/"}, "Expiration": {"Days": 3}}]
        },
    )
    bad = found("S3")
    assert bad.state == "warn" and "reports/" in bad.detail and "BULKHEAD_KEEP_" in bad.mend
    gone = found("S3", bucket=f"none-{uuid.uuid4().hex[:8]}")
    assert gone.state == "fail" and "BULKHEAD_BUCKET" in gone.mend


# --- Temporal ---


@pytest.mark.schedules
def test_temporal_with_and_without_worker_and_schedules(found: Callable[..., doctor.Result], settings: Settings) -> None:
    without = found("Temporal")
    assert without.state == "fail" and "no worker is polling" in without.detail and "bulkhead worker" in without.mend
    assert found("namespace").detail == "no schedule reconcile, clean"
    temporal = TemporalClient.of(settings)
    with running_worker(settings):
        temporal.schedule_reconciliation(3600)
        temporal.schedule_clean_up(3600)
        temporal.make_search_attributes()
        deadline = time.monotonic() + 60
        while found("Temporal").state != "ok" or found("namespace").detail.startswith("no schedule"):
            assert time.monotonic() < deadline, (found("Temporal"), found("namespace"))
            time.sleep(0.2)
        assert f"{settings.task_queue}/messages: 1" in found("Temporal").detail
        assert settings.temporal_namespace in found("namespace").detail and "runs kept for" in found("namespace").detail
    temporal.close()
    assert found("namespace", temporal_namespace="no-such").detail == "there is no namespace no-such"
    assert found("Temporal", temporal_address="127.0.0.1:1").detail == "Temporal does not answer at 127.0.0.1:1"


# --- messages ---


def greeter(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example.org ESMTP\r\n")
    while command := connection.recv(1000):
        connection.sendall(b"250 mail.example.org\r\n" if command[:4].upper() in (b"EHLO", b"NOOP") else b"221 bye\r\n")


def test_the_mail_server(found: Callable[..., doctor.Result]) -> None:
    assert found("mail").state == "ok" and "outbox" in found("mail").detail
    assert found("mail", email_to=("me@example.org",)).state == "warn"
    with serving(greeter) as port:
        assert found("mail", smtp_url=f"smtp://127.0.0.1:{port}").detail == f"127.0.0.1:{port} answers, no TLS"
        clear = found("mail", smtp_url=f"smtp://user:a-password@127.0.0.1:{port}")
        assert clear.state == "warn" and "in clear text" in clear.detail and "a-password" not in str(clear)
    away = found("mail", smtp_url="smtp://user:a-password@127.0.0.1:1")
    assert away.state == "fail" and "a-password" not in str(away)


def test_certificates(tls: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tls(3)
    with tls_server(pem) as port:
        with pytest.raises(doctor.Wrong, match="the certificate of localhost is not accepted: self"):
            network.reach("localhost", port, tls=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        with pytest.raises(doctor.Doubtful, match="the certificate of localhost expires on "):
            network.reach("localhost", port, tls=True)
    long = tls(300)
    monkeypatch.setenv("SSL_CERT_FILE", str(long))
    with tls_server(long) as port:
        assert network.reach("localhost", port, tls=True).startswith("TLS, certificate valid until ")
    plain = serving(lambda connection: connection.sendall(b"HTTP/1.1 400 no\r\n\r\n"))
    with plain as port, pytest.raises(doctor.Wrong, match="does not speak TLS"):
        network.reach("localhost", port, tls=True)


def test_webhooks_are_reached_without_a_request(found: Callable[..., doctor.Result]) -> None:
    heard: list[bytes] = []
    with serving(lambda connection: heard.append(connection.recv(100))) as port:
        url = f"http://127.0.0.1:{port}/hook?token=a-secret-token"
        well = found("webhooks", webhook_urls=(url,), webhook_allow_private=True)
        private = found("webhooks", webhook_urls=(url,))
        refused = found("webhooks", webhook_urls=(url, "http://127.0.0.1:1/x"), webhook_allow_private=True)
    assert well.state == "ok" and "reachable" in well.detail
    assert private.state == "fail" and "private address" in private.detail
    assert refused.state == "fail" and "127.0.0.1:1 cannot be reached" in refused.detail
    assert {*heard} <= {b""}, "nothing is sent"
    assert "a-secret-token" not in f"{well}{private}{refused}"


def test_lineage(found: Callable[..., doctor.Result]) -> None:
    assert found("lineage").detail.startswith("off")
    assert found("lineage", openlineage_url="http://127.0.0.1:1").state == "fail"
    assert found("lineage", openlineage_config="/nowhere.yml").state == "fail"


# --- settings and the machine ---


def test_insecure_settings(found: Callable[..., doctor.Result]) -> None:
    assert found("security").detail == "nothing is insecure"
    assert found("security", webhook_allow_private=True).state == "warn"
    known = found("security", url="https://bulkhead.example.org", secret_key="change-me")
    assert known.state == "fail" and "BULKHEAD_SECRET_KEY is a known default" in known.detail and "change-me" not in str(known)


def test_a_disk_that_is_nearly_full(found: Callable[..., doctor.Result], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage(1000 << 30, 990 << 30, 10 << 30))
    assert found("disk").state == "warn"
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage(1000 << 30, 999 << 30, 1 << 30))
    assert found("disk").state == "fail"
