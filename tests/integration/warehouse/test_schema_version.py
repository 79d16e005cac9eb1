"""Which code may run on which database: older code on a schema that it can use, and a clear refusal of all else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pipeline.errors import Conflict, NotReady
from pipeline.settings import ROOT
from pipeline.warehouse import migrate, schema_version

VERSIONS = ROOT / "sql" / "migrations" / "versions"
FUTURE = "9999"


def came_to(url: str, version: str, *, oldest: str | None = None) -> None:
    """Have a newer release bring the database to this version, with code that must be no older than ``oldest``."""
    with psycopg.connect(url) as connection:
        connection.execute("update public.alembic_version set version_num = %s", (version,))
        comment = "null" if oldest is None else f"'oldest code: {oldest}'"
        connection.execute(f"comment on table public.alembic_version is {comment}")  # type: ignore[call-overload]


def test_a_migration_notes_which_code_can_run(database: str) -> None:
    migrate.migrate(database)
    with psycopg.connect(database) as connection:
        note = connection.execute("select obj_description('public.alembic_version'::regclass, 'pg_class')").fetchone()
    assert note == (f"oldest code: {schema_version.oldest_code()}",)
    schema_version.require(database)


def test_migrate_refuses_a_newer_database_and_changes_nothing(database: str) -> None:
    came_to(database, FUTURE, oldest="")
    with pytest.raises(Conflict, match=f"at version {FUTURE}, and this release knows versions up to .* restore the backup"):
        migrate.migrate(database)
    with psycopg.connect(database) as connection:
        assert connection.execute("select version_num from public.alembic_version").fetchone() == (FUTURE,)


def test_older_code_runs_on_a_newer_schema_that_only_adds(database: str) -> None:
    came_to(database, FUTURE, oldest=migrate.newest_version())
    schema_version.require(database)
    came_to(database, FUTURE, oldest="")
    schema_version.require(database)


@pytest.mark.parametrize("oldest", [FUTURE, None])
def test_older_code_does_not_run_on_a_schema_that_lacks_what_it_needs(database: str, oldest: str | None) -> None:
    came_to(database, FUTURE, oldest=oldest)
    with pytest.raises(NotReady, match=r"cannot run on it: a newer release migrated it\. Start that release"):
        schema_version.require(database)


def test_code_does_not_run_on_an_older_schema_or_none(database: str) -> None:
    came_to(database, "0001")
    with pytest.raises(NotReady, match=r"at version 0001, and this release needs version .*\. Run: bulkhead migrate"):
        schema_version.require(database)
    with psycopg.connect(database) as connection:
        connection.execute("drop table public.alembic_version")
    with pytest.raises(NotReady, match=r"has no tables of Bulkhead.*Run: bulkhead migrate"):
        schema_version.require(database)


def test_a_database_that_is_away_delays_no_start() -> None:
    schema_version.require("postgresql://u:x@127.0.0.1:9/x")


@pytest.mark.parametrize("verb", ["migrate", "worker", "web"])
def test_each_process_says_it_and_ends_with_one(verb: str, database: str, environment: dict[str, str]) -> None:
    came_to(database, FUTURE, oldest=FUTURE)
    run = [sys.executable, "-m", "pipeline.cli", verb]
    done = subprocess.run(run, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=360, check=False)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1, said
    assert "a newer release" in said and "restore the backup" in said and "Traceback" not in said


# --- migrations only add ---

EXPAND_SINCE = "0015"
"""From this migration on the rule is checked: version 0.1.0 was the first release, so nothing runs on what was before."""

TAKES_AWAY = re.compile(
    r"\bdrop\s+(?:table|column|schema|view|type|function)\b|\brename\b"
    r"|\balter\s+column\s+\S+\s+(?:set\s+not\s+null|(?:set\s+data\s+)?type)\b"
    r"|\badd\s+column\b[^,;]*\bnot\s+null\b(?![^,;]*\bdefault\b)(?![^,;]*\bgenerated\b)",
    re.IGNORECASE,
)
"""What code of the previous release may trip over: something that it uses is gone or has another name or type, or a column that
it does not fill must be filled."""


def takes_away(sql: str) -> list[str]:
    bare = re.sub(r"--[^\n]*", "", sql)
    name = r"(?:if\s+exists\s+)?([\w.\"]+)"
    again = rf"\bdrop\s+(view|function)\s+{name}[^;]*;(?=.*\bcreate\s+(?:or\s+replace\s+)?(?:\w+\s+)?\1\s+\2\b)"
    return TAKES_AWAY.findall(re.sub(again, "", bare, flags=re.IGNORECASE | re.DOTALL))


NEW = [path for path in sorted(VERSIONS.glob("*.sql")) if path.stem[:4] >= EXPAND_SINCE]


@pytest.mark.parametrize("path", NEW or [None], ids=lambda path: path.stem if path else "none")
def test_a_migration_that_takes_something_away_says_which_code_it_needs(path: Path | None) -> None:
    """The rule of schema_version.py: add now, remove a release later, and then set ``oldest_code``."""
    if path is None:
        assert migrate.newest_version() < EXPAND_SINCE
    elif takes_away(path.read_text(encoding="utf-8")):
        assert "oldest_code = " in path.with_suffix(".py").read_text(encoding="utf-8"), (
            f"{path.name} takes away what the previous release may use: set oldest_code in its .py (schema_version.py)"
        )


@pytest.mark.parametrize(
    ("sql", "is_found"),
    [
        ("alter table ledger.import drop column state;", True),
        ("alter table ledger.import rename to imports;", True),
        ("alter table ledger.import alter column state type integer;", True),
        ("alter table ledger.import alter column state set not null;", True),
        ("alter table ledger.import add column more text not null;", True),
        ("alter table ledger.import add column more text not null default '', add column other text;", False),
        ("alter table ledger.import add column more text; create table a (b text not null); -- drop table c", False),
        ("drop view v; create view v as select 1;", False),
        ("drop view v;", True),
    ],
)
def test_the_rule_sees(sql: str, is_found: bool) -> None:
    assert bool(takes_away(sql)) == is_found
