"""Workers that kill themselves, once at each fault point of a step: ``python -m tests.support.faulty_worker PLAN``.

One process loads everything and forks a worker for each entry of the plan (a JSON file: environment, steps, folder and log
of each). What ends by SIGKILL is forked anew. A fault point is a file in the folder, made right before the kill, so that each
is hit once. The points of a step are ``begin``, ``answer`` (the work is done, and Temporal does not know), and ``before`` and
``after`` each of its commits.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, UnsandboxedWorkflowRunner, Worker

from pipeline.orchestration import steps as workflow_steps
from pipeline.orchestration import worker
from pipeline.sandbox import process

stopping = False

HEARTBEAT = timedelta(seconds=4)
"""Less than in earnest, and nothing is kept by a worker that Temporal would wait for: a kill costs half the time."""


class Faults:
    """The fault points of some steps."""

    def __init__(self, steps: list[str], folder: Path) -> None:
        self._steps = frozenset(steps)
        self._folder = folder
        self._commits: dict[bytes, Iterator[int]] = defaultdict(lambda: itertools.count(1))

    def arm(self) -> None:
        """From now on this process dies at each point that none has died at."""
        commit, leave = psycopg.Connection.commit, psycopg.Transaction.__exit__
        faults = self

        def commit_or_die(connection: Any) -> None:
            with faults.around_commit():
                commit(connection)

        def leave_or_die(transaction: Any, *error: Any) -> Any:
            if error[0] is not None or transaction.force_rollback or not transaction._outer_transaction:
                return leave(transaction, *error)
            with faults.around_commit():
                return leave(transaction, *error)

        psycopg.Connection.commit = commit_or_die  # type: ignore[method-assign]
        psycopg.Transaction.__exit__ = leave_or_die  # type: ignore[method-assign]
        quick = {"workflow_runner": UnsandboxedWorkflowRunner(), "max_cached_workflows": 0}
        worker.Worker = partial(Worker, interceptors=[Around(self)], **quick)  # type: ignore[misc, assignment]
        workflow_steps.HEARTBEAT = HEARTBEAT

    def point(self, name: str) -> None:
        """Die here, unless this is not the step's first attempt: its backoff would make later points slow to come to."""
        step = activity.info().activity_type
        if step not in self._steps or activity.info().attempt > 1:
            return
        try:
            (self._folder / f"{step} {name}").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def around_commit(self) -> Iterator[None]:
        """Two points, if a step commits."""
        if not activity.in_activity():
            yield
            return
        number = next(self._commits[activity.info().task_token])
        self.point(f"before commit {number}")
        yield
        self.point(f"after commit {number}")


class Around(Interceptor):
    """The points at both ends of a step."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Step(next, self.faults)


class _Step(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, faults: Faults) -> None:
        super().__init__(next)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        self._faults.point("begin")
        answer = await super().execute_activity(input)
        self._faults.point("answer")
        return answer


def _work(run: dict[str, Any]) -> None:
    """Be a worker, in the child. Its sandbox is the fork server that the parent has started."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(run["environment"])
    log = os.open(run["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    Faults(run["steps"], Path(run["folder"])).arm()
    worker.main()


def _fork(run: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _work(run)
    finally:
        os._exit(0)


def _stop(*_: object) -> None:
    global stopping
    stopping = True


def main() -> None:
    """Work until SIGTERM."""
    runs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    process.warm()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, _stop)
    alive = {_fork(run): run for run in runs}
    while not stopping:
        for pid in list(alive):
            if os.waitpid(pid, os.WNOHANG)[0]:
                run = alive.pop(pid)
                alive[_fork(run)] = run
        time.sleep(0.05)
    for pid in alive:
        os.kill(pid, signal.SIGTERM)
    for pid in alive:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
