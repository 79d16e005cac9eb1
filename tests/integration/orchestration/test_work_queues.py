"""Workers that do one kind of work each: all of them together import a file, and what none of them does is named."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.cli.doctor import checked
from pipeline.contracts.states import State
from pipeline.contracts.steps import Work
from pipeline.settings import ROOT, Settings
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead
from tests.support.imports import imports_of
from tests.support.waiting import wait_until
from tests.support.workers import running_worker


def limited(settings: Settings, *works: Work) -> Settings:
    return settings.model_copy(update={"worker_queues": works})


@pytest.mark.settings(**SMALL_PARTS)
def test_workers_of_one_kind_each_import_a_file_together(settings: Settings, store: Store) -> None:
    with (
        closing(Bulkhead(settings, store)) as bulkhead,
        closing(TemporalClient.of(settings)) as temporal,
        running_worker(limited(settings, Work.MESSAGES)),
    ):
        key = bulkhead.drop(HEADER + "1,,a\n")
        wait_until(lambda: bool(imports_of(bulkhead.ledger, key)))  # every worker moves the queues on
        wait_until(lambda: set(temporal.unserved()) == {Work.VALIDATION, Work.LOADING, Work.UPKEEP})
        told = checked("Temporal", settings)
        assert (told.ok, told.mend) == (False, "Start one: bulkhead worker --queues validation,loading,upkeep")
        assert "no worker serves validation,loading,upkeep" in told.detail
        assert not imports_of(bulkhead.ledger, key)[0].state.is_final
        with running_worker(limited(settings, Work.VALIDATION)):
            wait_until(lambda: imports_of(bulkhead.ledger, key)[0].state is State.LOADING)
            with running_worker(limited(settings, Work.LOADING)), running_worker(limited(settings, Work.UPKEEP)):
                assert bulkhead.import_of(key).state is State.SUCCEEDED
                wait_until(lambda: not temporal.unserved())
                assert checked("Temporal", settings).ok
                assert temporal.reconcile(seconds=60).seen == 1


def test_an_unknown_kind_of_work_is_a_wrong_use(environment: dict[str, str]) -> None:
    def run(*options: str, **variables: str) -> Any:
        command = [sys.executable, "-m", "pipeline.cli", "worker", *options]
        return subprocess.run(command, env={**environment, **variables}, cwd=ROOT, capture_output=True, text=True, check=False)

    wrong = run("--queues", "loading,validating")
    assert wrong.returncode == 2
    assert "There is no work validating. Choose from: validation, loading, messages, upkeep." in " ".join(
        wrong.stderr.replace("│", " ").split()
    )
    wrong = run(BULKHEAD_WORKER_QUEUES="loading,validating")
    assert wrong.returncode == 1
    assert "BULKHEAD_WORKER_QUEUES" in wrong.stderr
