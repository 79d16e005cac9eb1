"""Starts processes, waits until they really work, restarts what dies, and stops everything in reverse order."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import BulkheadError
from pipeline.local.component import Component, Process

WATCH_SECONDS = 0.5
HEALTH_SECONDS = 0.1
RESTARTS, RESTART_WINDOW_SECONDS = 5, 60.0
"""A component that dies more often than this is not going to get well by itself."""
TRIES_FOR_A_PORT = 3
"""Servers that choose further ports themselves, as Temporal does, may lose one to somebody else before they bind it."""


class ComponentFailedError(BulkheadError):
    """A component of the stack does not work."""


class Supervisor:
    """The processes of one stack. All methods are called from one thread, which outlives the processes."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._processes: list[Process] = []
        self._deaths: dict[str, deque[float]] = {}
        self._stopping = threading.Event()

    @property
    def processes(self) -> Sequence[Process]:
        """What is running, in the order of their start."""
        return tuple(self._processes)

    def start(self, *components: Component) -> None:
        """Start these together, and say of each when it is ready.

        Raises ComponentFailedError, with the end of its log, if one dies or is not ready in time.
        """
        starting = [self._spawn(component) for component in components]
        tries = Counter(process.component.name for process in starting)
        while starting and not self._stopping.is_set():
            for process in starting[:]:
                seconds = time.monotonic() - process.started
                if process.is_healthy():
                    self._say(f"{process.component.name:<12} ready after {seconds:4.1f} s")
                    starting.remove(process)
                elif not process.is_alive and process.found_its_port_taken and tries[process.component.name] < TRIES_FOR_A_PORT:
                    tries[process.component.name] += 1
                    starting[starting.index(process)] = self._again(process)
                elif not process.is_alive or seconds > process.component.start_seconds:
                    raise self._failed(process)
            self._stopping.wait(HEALTH_SECONDS)

    def _spawn(self, component: Component) -> Process:
        name = component.name.lower().replace(" ", "-")
        process = Process(component, self._logs / f"{name}.log")
        self._processes.append(process)
        return process

    def _again(self, dead: Process) -> Process:
        """The same component as a new process in its place."""
        dead.stop()  # what it had started itself
        again = self._processes[self._processes.index(dead)] = Process(dead.component, dead.log)
        return again

    def watch(self) -> None:
        """Restart what dies, until stop is asked for.

        Raises ComponentFailedError if a component dies again and again.
        """
        while not self._stopping.wait(WATCH_SECONDS):
            for process in self.processes:
                if not process.is_alive:
                    self._restart(process)

    def _restart(self, dead: Process) -> None:
        name, now = dead.component.name, time.monotonic()
        deaths = self._deaths.setdefault(name, deque(maxlen=RESTARTS + 1))
        deaths.append(now)
        if len(deaths) > RESTARTS and now - deaths[0] < RESTART_WINDOW_SECONDS:
            raise self._failed(dead)
        self._say(f"{name} ended unexpectedly and is started again (its log: {dead.log})")
        self._stopping.wait(min(2.0 ** (len(deaths) - 2), 10.0))
        self._again(dead)

    def ask_to_stop(self) -> None:
        """Make watch return; may be called from a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """End every process, the last one started first."""
        self._stopping.set()
        while self._processes:
            self._processes.pop().stop()

    @staticmethod
    def _failed(process: Process) -> ComponentFailedError:
        how = "is not ready in time" if process.is_alive else "ended"
        lines = "\n".join(f"  | {line}" for line in process.last_lines())
        return ComponentFailedError(f"{process.component.name} {how}. The end of its log, {process.log}:\n{lines}")
