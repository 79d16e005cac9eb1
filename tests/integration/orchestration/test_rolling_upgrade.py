"""Rolling upgrade: an old and a new worker side by side, with twenty imports under way; every import ends right."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from pipeline.adapters.s3 import Store
from pipeline.cli.doctor import checked
from pipeline.contracts.states import State
from pipeline.errors import Conflict, Unreachable
from pipeline.settings import ROOT, Settings
from pipeline.warehouse import migrate
from tests.support.bulkhead import Bulkhead, tree
from tests.support.imports import imports_of
from tests.support.waiting import wait_until
from tests.support.worker_process import closing_worker

pytestmark = [pytest.mark.schedules, pytest.mark.early]

DATASETS = ("red", "green", "blue", "grey")
FILES, RECORDS = 5, 400
WAIT = 600.0
"""Seconds: two workers load their libraries, on a machine that does much else."""

HISTORIES = ROOT / "tests" / "histories"


@pytest.fixture
def datasets(a_root: Path) -> Path:
    """A folder with four datasets of records, so that four imports run at a time and sixteen wait."""
    add_datasets(a_root)
    return a_root


def add_datasets(root: Path) -> None:
    """Define the datasets in a folder: each release has its own, with the checks that fit its code."""
    suite = json.loads((root / "expectations" / "records.json").read_text(encoding="utf-8"))
    table = (root / "sql" / "tables" / "records.sql").read_text(encoding="utf-8")
    for name in DATASETS:
        (root / "expectations" / f"{name}.json").write_text(json.dumps({**suite, "name": name}))
        (root / "sql" / "tables" / f"{name}.sql").write_text(table.replace("records", name))


@pytest.fixture
def bulkhead(settings: Settings, store: Store, datasets: Path) -> Iterator[Bulkhead]:
    migrate.migrate(settings.database_url, root=datasets)
    with closing(Bulkhead(settings.model_copy(update={"datasets_root": datasets}), store)) as one:
        yield one


def released(version: str, folder: Path) -> Path:
    """Return a checkout of a released version. Skips the test in a clone without its commit."""
    revision = (HISTORIES / version / "revision").read_text().strip()
    packed = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"{version} ({revision[:12]}) is not in this clone: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def ended(bulkhead: Bulkhead, keys: list[str]) -> int:
    return sum(one.state.is_final for key in keys for one in imports_of(bulkhead.ledger, key))


def check(bulkhead: Bulkhead, keys: list[str]) -> None:
    """Each import ran once and loaded its records once; the tables have all of them."""
    for key in keys:
        (one,) = imports_of(bulkhead.ledger, key)
        assert (one.state, one.inserted, one.updated, one.failed) == (State.SUCCEEDED, RECORDS, 0, 0), one
        assert one.parts_done == one.parts_total
    for name in DATASETS:
        found = bulkhead.rows(f"select count(*), count(distinct _import_id) from warehouse.{name}")
        assert found == [(FILES * RECORDS, FILES)]


def drop_all(bulkhead: Bulkhead) -> list[str]:
    """Drop the files in turn, each with ids of its own."""
    texts = [tree(RECORDS).replace("r", f"r{number}-").replace(f"par{number}-entId", "parentId") for number in range(FILES)]
    return [bulkhead.drop(text, dataset=name, name=f"{number}.csv") for number, text in enumerate(texts) for name in DATASETS]


@contextmanager
def loads_waiting(bulkhead: Bulkhead) -> Iterator[None]:
    """Let no part be committed during the block, so that imports are under way however fast the machine is."""
    tables = ", ".join(f"warehouse.{name}" for name in DATASETS)
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql(f"lock table {tables} in exclusive mode")
        yield


@pytest.mark.thorough
def test_two_builds_of_one_deployment(bulkhead: Bulkhead, datasets: Path, environment: dict[str, str], tmp_path: Path) -> None:
    env = {**environment, "BULKHEAD_DATASETS_ROOT": str(datasets)}
    temporal = bulkhead.orchestrator
    with closing_worker({**env, "BULKHEAD_BUILD_ID": "one"}, tmp_path, name="one") as old:
        wait_until(lambda: current_build(bulkhead) == "one", WAIT)  # the first build makes itself current
        keys = drop_all(bulkhead)
        wait_until(lambda: ended(bulkhead, keys) > 0, WAIT)
        with pytest.raises(Conflict, match="BULKHEAD_BUILD_ID=two"):
            temporal.set_current_build("bulkhead", "two")
        told = checked("Temporal", bulkhead.settings.model_copy(update={"build_id": "two"}))
        assert "new work goes to build one, not to two" in told.detail and told.mend.endswith("bulkhead rollout two")
        with loads_waiting(bulkhead), ExitStack() as later:
            new = later.enter_context(closing_worker({**env, "BULKHEAD_BUILD_ID": "two"}, tmp_path, name="two"))
            wait_until(lambda: rolled_out(bulkhead, "two"), WAIT)
            assert ended(bulkhead, keys) < len(keys)
            both = later.pop_all()
        with both:
            assert new.pid != old.pid
            assert old.stop() == 0
            wait_until(lambda: ended(bulkhead, keys) == len(keys), WAIT)
        command = [sys.executable, "-m", "pipeline.cli", "rollout", "two", "--json"]
        printed = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert json.loads(printed) == {"deployment": "bulkhead", "build_id": "two", "previous_build_id": "two"}
    check(bulkhead, keys)


def current_build(bulkhead: Bulkhead) -> str:
    """Return the build that new work goes to; empty while Temporal has too many requests about the deployment."""
    try:
        return bulkhead.orchestrator.current_build("bulkhead")
    except Unreachable:
        return ""


def rolled_out(bulkhead: Bulkhead, build_id: str) -> bool:
    """Roll out a build, once Temporal knows its workers and has not too many requests about the deployment."""
    try:
        bulkhead.orchestrator.set_current_build("bulkhead", build_id)
    except (Conflict, Unreachable):
        return False
    return True


@pytest.mark.parametrize("version", sorted(path.parent.name for path in HISTORIES.glob("*/revision")))
def test_the_workers_of_a_released_version_and_of_this_one(
    version: str, bulkhead: Bulkhead, datasets: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The released code goes on running on the migrated database, beside the new code, and neither undoes the other's work."""
    code = released(version, tmp_path / "released")
    add_datasets(code)
    env = {**environment, "BULKHEAD_DATASETS_ROOT": str(datasets)}
    with closing_worker({**env, "BULKHEAD_DATASETS_ROOT": str(code)}, tmp_path, name="old", root=code) as old:
        keys = drop_all(bulkhead)
        wait_until(lambda: ended(bulkhead, keys) > 0, WAIT)
        migrate.migrate(bulkhead.settings.database_url, root=datasets)  # again, beside the loads
        other = {**env, "BULKHEAD_HOME": f"{env['BULKHEAD_HOME']}-new"}
        with loads_waiting(bulkhead), ExitStack() as later:
            later.enter_context(closing_worker(other, tmp_path, name="new"))
            wait_until(lambda: bulkhead.orchestrator.count_workers() >= 2, WAIT)
            assert ended(bulkhead, keys) < len(keys)
            both = later.pop_all()
        with both:
            assert old.stop() == 0
            wait_until(lambda: ended(bulkhead, keys) == len(keys), WAIT)
    check(bulkhead, keys)
