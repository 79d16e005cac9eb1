"""dbt itself takes the package into a project of a user, builds and tests it as the login of the documentation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from pipeline.cli.commands import app
from pipeline.settings import ROOT
from tests.support.loader import Loader

PYTHON = Path(sys.prefix) / "dbt" / "bin" / "python"
PASSWORD = "a-password-of-a-test"
HOSTILE = ["O'Brien", "{{ env_var('PGUSER') }}", "env_var('DBT_ENV_SECRET_PGPASSWORD')", "{% raw %}"]
RECORDS = [
    ("r", None, "O'Brien"),
    ("it's", "r", HOSTILE[1]),
    ("a", "it's", HOSTILE[2]),
    ("b", "it's", HOSTILE[3]),
    ("c", "a", "O'Brien"),
    ("alone", None, "unlisted"),
]
PLACES = [("FR", None), ("FR-75", "FR"), ("AA", "BB"), ("BB", "AA"), ("XX-1", "XX")]
"""With a cycle and a missing parent, which only another client can have written."""

STEPS = (["deps"], ["build"], ["source", "freshness"])
SCRIPT = f"""
import json, sys
from dbt.cli.main import dbtRunner
dbt = dbtRunner()
done = [dbt.invoke(["parse", "--project-dir", sys.argv[1], "--profiles-dir", sys.argv[1]]), *map(dbt.invoke, {[*STEPS]!r})]
print("exceptions:", [str(one.exception) for one in done if one.exception])
"""
MODELS = {
    "all_below": "{{ bulkhead.descendants(source('bulkhead', 'records')) }}",
    "below_one": "{{ bulkhead.descendants(source('bulkhead', 'records'), \"it's\") }}",
    "above_one": "{{ bulkhead.ancestors(source('bulkhead', 'records'), 'c') }}",
    "in_cycles": "{{ bulkhead.descendants(api.Relation.create(schema='warehouse', identifier='places')) }}",
}
INDEPENDENT = """
with recursive up (of_id, id, distance) as (
    select "parentId", id, 1 from warehouse.records where "parentId" is not null
    union all
    select above."parentId", up.id, up.distance + 1 from up, warehouse.records as above
    where above.id = up.of_id and above."parentId" is not null
)
select of_id, id, distance from up
"""


class Built(NamedTuple):
    """What dbt has done, by the names of models and tests, and of sources."""

    database: str
    login: str
    results: dict[str, str]
    freshness: dict[str, str]
    description: str  # of the table records
    output: str

    def rows(self, query: str) -> set[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return set(connection.execute(query).fetchall())


@pytest.fixture
def login(database: str) -> Iterator[str]:
    """A login as docs/dbt.md makes it."""
    name = f"dbt_{uuid.uuid4().hex[:12]}"
    (statements,) = re.findall(
        r"```sql\n(create role .*?)```", (ROOT / "docs" / "dbt.md").read_text(encoding="utf-8"), re.DOTALL
    )
    for placeholder, value in (
        ("dbt_login", name),
        ("a long password", PASSWORD),
        ("bulkhead", conninfo_to_dict(database)["dbname"]),
    ):
        statements = re.sub(rf"\b{placeholder}\b", str(value), statements)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statements)
    yield name
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"drop owned by {name} cascade")
        connection.execute(f"drop role {name}")


@pytest.fixture
def built(database: str, login: str, a_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """What dbt has done with the package of two datasets with records, in a project that takes it."""
    assert PYTHON.exists(), "dbt is not installed; `make setup` does that"
    _load(database, tmp_path)
    _define(a_root)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BULKHEAD_DATASETS_ROOT", str(a_root))
    monkeypatch.setenv("DATABASE_URL", "")
    package, project = tmp_path / "package", tmp_path / "project"
    done = CliRunner().invoke(app, ["dbt", str(package), "-d", "records", "-d", "places"])
    assert done.exit_code == 0, done.output
    _write_project(project)
    said = subprocess.run(
        [PYTHON, "-c", SCRIPT, package],
        cwd=project,
        env=_environment(database, login, package, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    output = said.stdout + said.stderr
    assert "exceptions: []" in output, output
    results = json.loads((project / "target" / "run_results.json").read_text())["results"]
    manifest = json.loads((project / "target" / "manifest.json").read_text())
    sources = json.loads((project / "target" / "sources.json").read_text())["results"]
    return Built(
        database,
        login,
        {one["unique_id"].split(".")[2]: one["status"] for one in results},
        {one["unique_id"].split(".")[-1]: one["status"] for one in sources},
        manifest["sources"]["source.bulkhead.bulkhead.records"]["description"],
        output,
    )


def _load(database: str, folder: Path) -> None:
    loader = Loader(database, folder)
    loader.load(RECORDS)
    loader.connection.close()
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.places (id, "parentId", name, kind, _import_id, _row, _loaded_at)'
            " values (%s, %s, 'a name', 'a kind', gen_random_uuid(), 1, now() - interval '3 days')",
            PLACES,
        )


def _define(root: Path) -> None:
    """Have files expected every day, and names from a list whose breach is a warning."""
    for name in ("records", "places"):
        file = root / "expectations" / f"{name}.json"
        suite = json.loads(file.read_text(encoding="utf-8"))
        suite["meta"]["expect_every"] = "1d"
        if name == "records":
            rule = {"column": "name", "value_set": HOSTILE}
            warning = {"severity": "warning", "message": "Not on the list."}
            suite["meta"]["title"] = "Records {{ env_var('PGUSER') }}"
            suite["expectations"].append({"type": "expect_column_values_to_be_in_set", "kwargs": rule, "meta": warning})
        file.write_text(json.dumps(suite), encoding="utf-8")


def _write_project(project: Path) -> None:
    (project / "models").mkdir(parents=True)
    text = "name: of_a_user\nversion: 1.0.0\nprofile: bulkhead\nmodels:\n  of_a_user:\n    +materialized: table\n"
    (project / "dbt_project.yml").write_text(text)
    (project / "packages.yml").write_text("packages:\n  - local: ../package\n")
    for name, query in MODELS.items():
        (project / "models" / f"{name}.sql").write_text(query)


def _environment(database: str, login: str, package: Path, home: Path) -> dict[str, str]:
    at = conninfo_to_dict(database)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DBT_PROFILES_DIR": str(package),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "PGHOST": str(at["host"]),
        "PGPORT": str(at.get("port", "5432")),
        "PGDATABASE": str(at["dbname"]),
        "PGUSER": login,
        "DBT_ENV_SECRET_PGPASSWORD": PASSWORD,
    }


def test_dbt_builds_and_tests_the_package(built: Built) -> None:
    wrong = {name: status for name, status in built.results.items() if status not in ("success", "pass")}
    assert {re.sub("__.*", "", name): status for name, status in wrong.items()} == {
        "source_relationships_bulkhead_places": "fail",
        "source_accepted_values_bulkhead_records": "warn",  # one record, so that all other names are as they are listed
    }, built.output
    assert "WARN 1 source_accepted_values" in built.output
    assert built.description == "Records {{ env_var('PGUSER') }}. One row per record."
    assert built.freshness == {"records": "pass", "places": "warn"}
    below = built.rows("select of_id, id, distance from analytics.all_below")
    assert below == built.rows(INDEPENDENT)
    assert ("r", "c", 3) in below and len(below) == 8
    assert built.rows("select of_id, id, distance from analytics.record_ancestors") == {(b, a, n) for a, b, n in below}
    assert built.rows("select * from analytics.below_one") == {one for one in below if one[0] == "it's"}
    assert built.rows("select * from analytics.above_one") == {("c", "a", 1), ("c", "it's", 2), ("c", "r", 3)}
    assert built.rows("select * from analytics.in_cycles") == {("FR", "FR-75", 1), ("AA", "BB", 1), ("BB", "AA", 1)}
    with psycopg.connect(built.database) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"set role {built.login}")
        connection.execute("delete from warehouse.records")
