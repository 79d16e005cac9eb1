"""What a support bundle contains, section by section, as JSON. No section reads a record, a finding's text, or a secret."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.errors import NotReady
from pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

IMPORTS_SHOWN = 50
STATEMENT_SECONDS = 10.0
LOG_LINES, LOG_BYTES = 500, 256 << 10

Section = Callable[[Settings, bool], Any]
"""Takes the settings, and whether names of files may be told; returns what json.dumps can write, or a text."""


def versions(settings: Settings, with_names: bool) -> Any:
    """Return the versions of Bulkhead, Python and every installed package."""
    packages = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    return {
        "bulkhead": packages.get("bulkhead", "not installed"),
        "python": sys.version,
        "packages": dict(sorted(packages.items(), key=lambda one: str(one[0]).lower())),
    }


def shown_settings(settings: Settings, with_names: bool) -> Any:
    """Return each setting with its source; of a secret whether it is set, and of an address its scheme, host and port."""
    from pipeline.insecure_settings import insecure_settings
    from pipeline.setting_texts import setting_texts

    shown = []
    for one in setting_texts(settings):
        as_json = one.to_json()
        if one.is_secret or one.name == "BULKHEAD_EMAIL_TO":
            told = "not set" if one.value == "not set" else "set, not shown"
            as_json |= {"value": told, "text": told}
        shown.append(as_json)
    insecure = [{"name": one.name, "mend": one.mend} for one in insecure_settings(settings)]
    hosts = {name: _host(getattr(settings, name)) for name in ("database_url", "database_read_url", "smtp_url")}
    return {"settings": shown, "hosts": {name: host for name, host in hosts.items() if host}, "insecure": insecure}


def _host(address: str) -> str:
    try:
        at = urlsplit(address)
        return f"{at.hostname}:{at.port or ''}" if at.hostname else ""
    except ValueError:
        return ""


def doctor(settings: Settings, with_names: bool) -> Any:
    """Return what `bulkhead doctor` finds. The error of a mart may quote a value: only its name is given."""
    from pipeline.cli.doctor import checks

    found = [result.to_json() for result in checks(settings)]
    for one in found:
        if one["name"] == "marts" and one["state"] != "ok":
            one["detail"] = "; ".join(said.partition(" has data")[0] for said in one["detail"].split("; "))[:500]
        one["detail"] = one["detail"][:2000]
    return found


def ledger(settings: Settings, with_names: bool) -> Any:
    """Return counts by dataset and state, and the newest imports with their counts and codes, but no reason or value."""
    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.statements import Statements

    with _database(settings) as engine:
        newest = Ledger(engine).imports.page(limit=IMPORTS_SHOWN)
        counts = [dict(row) for row in Statements(engine).rows("support/import_counts")]
    return {"counts": counts, "imports": [_import(one, with_names) for one in newest]}


def _import(one: Any, with_names: bool) -> dict[str, Any]:
    names = ("id", "dataset", "size_bytes", "parts_total", "parts_done", "findings_errors", "findings_warnings")
    moments = ("created_at", "started_at", "finished_at", "cancel_requested_at")
    return {
        **{name: getattr(one, name) for name in (*names, *moments)},
        "state": str(one.state),
        "counts": one.counts,
        "findings_by_code": one.findings_by_code,
        "format": one.reading.get("format"),
        **({"filename": one.filename, "key": one.key} if with_names else {}),
    }


def database(settings: Settings, with_names: bool) -> Any:
    """Return PostgreSQL's version and numeric settings, the ledger's version, and the sizes of our tables."""
    from sqlalchemy import text

    from pipeline.ledger.statements import Statements
    from pipeline.warehouse import migrate

    with _database(settings) as engine:
        statements = Statements(engine)
        with engine.connect() as connection:
            server = connection.execute(text("select version()")).scalar_one()
        return {
            "server": server,
            "migrations": {"database": migrate.ledger_version(engine), "release": migrate.newest_version()},
            "settings": [dict(row) for row in statements.rows("support/server_settings")],
            "tables": [dict(row) for row in statements.rows("support/table_sizes")],
        }


@contextmanager
def _database(settings: Settings) -> Iterator[Engine]:
    from pipeline.adapters import postgres
    from pipeline.adapters.postgres_access import to_database

    if not settings.database_url:
        raise NotReady("DATABASE_URL is not set")
    engine = postgres.connect(to_database(settings), pool_size=2, name="bulkhead support", statement_seconds=STATEMENT_SECONDS)
    try:
        yield engine
    finally:
        engine.dispose()


def temporal(settings: Settings, with_names: bool) -> Any:
    """Return Temporal's version, the namespace, schedules, pollers, and pending steps with the types of their failures."""
    from pipeline.adapters.temporal import TemporalClient

    with closing(TemporalClient.of(settings)) as client:
        seen = asdict(client.health(with_pending=True))
    for step in seen["pending"]:
        step["workflow_id"] = _known_id(step["workflow_id"])
        step["failure_type"] = step["failure_type"] if step["failure_type"].isidentifier() else ""
    seen["attributes"] = None if seen["attributes"] is None else sorted(seen["attributes"])
    seen["pollers"] = {str(queue) or "workflows": number for queue, number in seen["pollers"].items()}
    return seen


def _known_id(workflow_id: str) -> str:
    """Return the id of a workflow of ours; of another application's, which may share the namespace, nothing."""
    ours = ("ingest/", "import/", "notify/", "marts/", "results/", "send/", "reconcile", "clean")
    return workflow_id if workflow_id.startswith(ours) else "another application's"


def machine(settings: Settings, with_names: bool) -> Any:
    """Return the operating system, its limits, memory and disks."""
    limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
    folders = [path for path in (settings.home, settings.work_dir, Path("/tmp"), Path("/")) if path.is_dir()]
    return {
        "now": datetime.now(tz=UTC),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "limits": limits,
        "disks": [{"folder": str(path), **shutil.disk_usage(path)._asdict()} for path in folders],
        "control_group": {name: _text(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "cpu.max", "pids.max")},
    }


def _text(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None


SECTIONS: dict[str, Section] = {
    "versions": versions,
    "settings": shown_settings,
    "doctor": doctor,
    "ledger": ledger,
    "database": database,
    "temporal": temporal,
    "machine": machine,
}
"""The sections by the name of their file."""


def logs(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the name of each log of an embedded stack, and its newest lines without values."""
    from pipeline.cli.support_bundle.log_lines import reduced

    folder = settings.home / "logs"
    for file in sorted(folder.glob("*.log")) if folder.is_dir() else ():
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - LOG_BYTES))
            lines = opened.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:]
        yield file.name, "\n".join(reduced(lines)) + "\n"
