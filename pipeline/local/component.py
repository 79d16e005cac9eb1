"""One process of the stack: how it is started, how one knows that it works, how it is stopped."""

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
    """A process as data. ``healthy`` really uses the server; it may raise or return False while that is starting.

    ``needs`` names the components without which it cannot start. ``before`` is called before each start. ``anew`` describes
    the component with other ports, for when one of its own was taken.
    """

    name: str
    command: Sequence[str]
    healthy: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    user: int | None = None  # the user id it runs as, where that is not ours
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    start_seconds: float = 90.0
    needs: Sequence[str] = ()
    before: Callable[[], None] = lambda: None
    anew: Callable[[], Component] | None = None

    def elsewhere(self) -> Component:
        """The same component on ports that are free now; itself if it chooses its ports alone."""
        return replace(self.anew(), anew=self.anew) if self.anew else self


class Process:
    """A running component. Start it from a thread that outlives it: the kernel ends it together with that thread."""

    def __init__(self, component: Component, log: Path) -> None:
        self.component = component
        self.log = log
        component.before()
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._said_before = out.tell()
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
        """The process id that we started, and may end."""
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        """It has not ended."""
        return self._popen.poll() is None

    def is_healthy(self) -> bool:
        """The server answers as it should."""
        try:
            return self.is_alive and self.component.healthy()
        except Exception:
            return False

    def stop(self) -> None:
        """Ask it to end; insist after its time is over. Whatever it started ends with it."""
        if self.is_alive:
            self._popen.send_signal(self.component.stop_signal)
            try:
                self._popen.wait(self.component.stop_seconds)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._end_leftovers()

    def _end_leftovers(self) -> None:
        """The component leads a process group of its own; members that outlived their leader go now."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def last_lines(self, number: int = LOG_LINES_SHOWN) -> list[str]:
        """The end of its log."""
        return self._log_from(0)[-number:]

    @property
    def found_its_port_taken(self) -> bool:
        """It said so since it was started, as every server does in the words of errno(3), EADDRINUSE."""
        return any("address already in use" in line.lower() for line in self._log_from(self._said_before))

    def _log_from(self, place: int) -> list[str]:
        """The lines from a place of the log on, or from its last 64 KiB."""
        with self.log.open("rb") as file:
            file.seek(max(place, self.log.stat().st_size - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()


def _ends_with_its_parent(stop_signal: signal.Signals) -> Callable[[], None]:
    """Return what a new process calls first, so that it ends with the supervisor even if that is killed with -9."""
    return partial(processes.end_with_parent, os.getpid(), stop_signal)
