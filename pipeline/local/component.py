"""One process of the stack: start it, check its health, stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pipeline import processes

LOG_LINES_SHOWN = 15


@dataclass(frozen=True)
class Component:
    """The description of a process. ``healthy`` really uses the server; it may raise or return False while it is starting.

    ``needs`` names the components without which it cannot start. ``before`` is called before each start. ``anew`` describes
    the component with other ports, in case one of its own is in use.
    """

    name: str
    command: Sequence[str]
    healthy: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    user: int | None = None  # the user id it runs as, if not ours
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    start_seconds: float = 90.0
    needs: Sequence[str] = ()
    before: Callable[[], None] = lambda: None
    anew: Callable[[], Component] | None = None

    def elsewhere(self) -> Component:
        """Return the component on ports that are free now, or itself if it has no ports to choose."""
        return replace(self.anew(), anew=self.anew) if self.anew else self


class Process:
    """A running component. Start it from a thread that runs longer than it: the kernel ends it together with that thread."""

    def __init__(self, component: Component, log: Path) -> None:
        self.component = component
        self.log = log
        component.before()
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._log_start = out.tell()
            self._popen = subprocess.Popen(
                component.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(component.environment),
                cwd=component.folder,
                user=component.user,
                group=component.user,
                extra_groups=[] if component.user is not None else None,
                start_new_session=True,
                preexec_fn=_ends_with_its_parent(component.stop_signal),
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        """Return whether the process has not ended."""
        return self._popen.poll() is None

    def is_healthy(self) -> bool:
        """Return whether the process runs and its server answers correctly."""
        try:
            return self.is_alive and self.component.healthy()
        except Exception:
            return False

    def stop(self) -> None:
        """Send the stop signal, and kill the process after ``stop_seconds``. Processes that it started end too."""
        if self.is_alive:
            self._popen.send_signal(self.component.stop_signal)
            try:
                self._popen.wait(self.component.stop_seconds)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._end_leftovers()

    def _end_leftovers(self) -> None:
        """Kill what is left of the process group that the component leads."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def last_lines(self, number: int = LOG_LINES_SHOWN) -> list[str]:
        """Return the last lines of its log."""
        return self._log_from(0)[-number:]

    @property
    def found_its_port_taken(self) -> bool:
        """Return whether its log says so since the start, in the words of errno(3) for EADDRINUSE."""
        return any("address already in use" in line.lower() for line in self._log_from(self._log_start))

    def _log_from(self, place: int) -> list[str]:
        """Return the lines of the log from an offset, at most its last 64 KiB."""
        with self.log.open("rb") as file:
            file.seek(max(place, self.log.stat().st_size - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()


def _ends_with_its_parent(stop_signal: signal.Signals) -> Callable[[], None]:
    """Return what a new process calls first, so that it ends with the supervisor even if that is killed with -9."""
    return partial(processes.end_with_parent, os.getpid(), stop_signal)
