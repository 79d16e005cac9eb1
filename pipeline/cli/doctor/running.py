"""Run checks side by side, each for a bounded time, and give their results in the order of the list."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from pipeline.cli.doctor.results import FAIL, OK, WARN, Probe, Result, Wrong
from pipeline.errors import BulkheadError
from pipeline.settings import Settings

PROBE_SECONDS = 20.0
"""The time limit of a check with all its questions, each of which has 5 s (results.ANSWER_SECONDS)."""


def run(probes: Sequence[Probe], settings: Settings) -> Iterator[Result]:
    """Yield the result of each check, in their order. One that takes too long is reported and left behind."""
    running = {probe.name: _Running(probe, settings) for probe in probes}
    for one in running.values():
        one.begin(running.get(one.probe.after))
    for one in running.values():
        yield one.result()


class _Running:
    """A check in a thread of its own, which does not keep the process from ending."""

    def __init__(self, probe: Probe, settings: Settings) -> None:
        self.probe = probe
        self._settings = settings
        self._found: Result | None = None
        self._previous: _Running | None = None
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"doctor {probe.name}", daemon=True)

    def begin(self, previous: _Running | None) -> None:
        self._previous = previous
        self._thread.start()

    def _run(self) -> None:
        if self._previous:
            self._previous.wait()
        self._began.set()
        self._found = checked(self.probe, self._settings)

    def wait(self) -> None:
        """Wait for the end of the check, but not longer than it may take."""
        if self._previous:
            self._previous.wait()
        self._began.wait(PROBE_SECONDS)
        self._thread.join(PROBE_SECONDS)

    def result(self) -> Result:
        self.wait()
        late = f"no answer within {PROBE_SECONDS:.0f} s"
        return self._found or Result(
            self.probe.name, False, late, "Check whether it is overloaded or frozen.", FAIL, _where(self.probe, self._settings)
        )


def checked(probe: Probe, settings: Settings) -> Result:
    """Run one check. Any error is a finding: the other checks still run."""
    name, where = probe.name, _where(probe, settings)
    try:
        return Result(name, True, probe.check(settings), "", OK, where)
    except Wrong as wrong:
        return Result(name, wrong.state == WARN, str(wrong), wrong.mend, wrong.state, where)
    except Exception as error:
        detail = str(error) if isinstance(error, BulkheadError) else f"{type(error).__name__}: {error}"
        return Result(name, False, detail.strip().partition("\n")[0], f"Check the settings for {name}.", FAIL, where)


def _where(probe: Probe, settings: Settings) -> str:
    try:
        return probe.where(settings)
    except ValueError:  # an address that cannot be read; the check says so
        return ""
