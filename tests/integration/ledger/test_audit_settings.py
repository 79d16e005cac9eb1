"""A start with other settings is recorded: which settings, and no value."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from pipeline.adapters.postgres import connect
from pipeline.ledger.audit_log import AuditLog, Wanted
from pipeline.ledger.audit_settings import note_start, record_start, told_apart
from pipeline.settings import Settings
from tests.support.waiting import wait_until
from tests.support.web_app import Server
from web.app_context import AppContext

SECRET = "a weak passphrase"


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on this test's database."""
    engine = connect(database)
    yield engine
    engine.dispose()


def _started(settings: Settings, engine: Engine, process: str = "web") -> list[str]:
    return note_start(engine, process, *told_apart(settings))


def test_only_changes_are_recorded_by_their_names(settings: Settings, engine: Engine) -> None:
    before = settings.model_copy(update={"webhook_secret": SECRET})
    after = before.model_copy(update={"webhook_secret": SECRET + "!", "sql_rows": 7})
    assert _started(before, engine) == _started(before, engine) == []
    assert _started(after, engine) == ["BULKHEAD_SQL_ROWS", "BULKHEAD_WEBHOOK_SECRET"]
    assert _started(before, engine, "worker") == [], "each kind of process for itself"
    events = AuditLog(engine).page(Wanted(action="settings_changed"))
    assert [(event["target_id"], event["details"]) for event in events] == [
        ("worker", {"first_start": "true"}),
        ("web", {"changed": "BULKHEAD_SQL_ROWS, BULKHEAD_WEBHOOK_SECRET"}),
        ("web", {"first_start": "true"}),
    ]
    with engine.connect() as connection:
        kept = "".join(connection.exec_driver_sql("select kept::text from ledger.process_settings as kept").scalars())
    assert "BULKHEAD_WEBHOOK_SECRET" in kept
    assert SECRET not in kept


def test_every_setting_that_may_hold_a_secret_is_hashed_slowly() -> None:
    _, secret = told_apart(Settings())
    needed = {"DATABASE_URL", "BULKHEAD_API_KEY", "BULKHEAD_SECRET_KEY", "BULKHEAD_RELAY_TOKEN", "AWS_SECRET_ACCESS_KEY"}
    needed |= {"AWS_SESSION_TOKEN", "BULKHEAD_WEBHOOK_SECRET", "BULKHEAD_SMTP_URL", "BULKHEAD_WEBHOOK_URLS"}
    assert needed <= secret
    assert "BULKHEAD_SQL_ROWS" not in secret


def test_an_error_delays_no_start(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    record_start(settings.model_copy(update={"database_url": "postgresql://x:y@127.0.0.1:1/none"}), "web")
    assert "not recorded" in "".join(capfd.readouterr())


def test_the_web_app_records_its_start(server: Server, edges: AppContext, newest: Callable[[], list[str]]) -> None:
    wait_until(lambda: newest() == ["web"], 300.0)


@pytest.fixture
def newest(edges: AppContext) -> Callable[[], list[str]]:
    """Returns the kinds of processes whose start was recorded."""
    return lambda: [event["target_id"] for event in edges.ledger.audit_log.page(Wanted(action="settings_changed"))]
