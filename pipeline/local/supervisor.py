"""Start processes, wait until they work, restart those that die, and stop all in reverse order."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pipeline.errors import BulkheadError
from pipeline.local.component import Component, Process

WATCH_SECONDS = 0.2
HEALTH_SECONDS = 0.1
CHECKS_AT_ONCE = 8
RESTARTS, RESTART_WINDOW_SECONDS = 8, 60.0
"""A component that dies more often than this is given up."""

PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 10.0)
"""The pauses before the first restart, the second, and so on; the last one before each further restart."""

FORGET_SECONDS = 60.0
"""When a component dies after being healthy for this long, the pauses start from the first one again."""

TRIES_FOR_A_PORT = 3
"""A port that was free when it was chosen may be taken before the server binds it."""


class ComponentFailedError(BulkheadError):
    """A component of the stack does not work."""


class _Supervised:
    """A component with its process, its health and its deaths."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.deaths: deque[float] = deque(maxlen=RESTARTS + 1)
        self.healthy_since: float | None = None
        self.restart_at: float | None = None  # set while it is dead and waits to be started again
        self._check: Future[bool] | None = None

    @property
    def component(self) -> Component:
        return self.process.component

    @property
    def is_up(self) -> bool:
        """Return whether it is alive, and has been healthy since its start."""
        return self.healthy_since is not None and self.process.is_alive

    def replace(self, process: Process) -> None:
        """Use another process of the same component."""
        self.process, self.healthy_since, self.restart_at, self._check = process, None, None, None

    def look(self, checks: ThreadPoolExecutor) -> bool:
        """Check its health without waiting for the answer; return whether an answer just came that it is healthy.

        A check of a server that is starting may take seconds: each has a thread, so that none holds up the others.
        """
        if self._check is None:
            self._check = checks.submit(self.process.is_healthy)
        elif self._check.done():
            healthy, self._check = self._check.result(), None
            if healthy:
                self.healthy_since = time.monotonic()
                return True
        return False


class Supervisor:
    """The processes of one stack. All methods are called from one thread, which outlives the processes."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._supervised: list[_Supervised] = []
        self._stopping = threading.Event()
        self._checks = ThreadPoolExecutor(CHECKS_AT_ONCE, "health")

    @property
    def processes(self) -> Sequence[Process]:
        """Return the process of each component, in the order of their start; a dead one until it is replaced."""
        return tuple(one.process for one in self._supervised)

    def start(self, *components: Component) -> None:
        """Start components together, and report when each is ready.

        Raises ComponentFailedError, with the end of its log, if one dies or is not ready in time.
        """
        starting = [self._spawn(component) for component in components]
        tries = Counter(one.component.name for one in starting)
        while starting and not self._stopping.is_set():
            for one in starting[:]:
                process = one.process
                seconds = time.monotonic() - process.started
                if one.look(self._checks):
                    self._say(f"{process.component.name:<12} ready after {seconds:4.1f} s")
                    starting.remove(one)
                elif not process.is_alive and process.found_its_port_taken and tries[process.component.name] < TRIES_FOR_A_PORT:
                    tries[process.component.name] += 1
                    self._again(one, process.component.elsewhere())
                elif not process.is_alive or seconds > process.component.start_seconds:
                    raise self._failed(process)
            self._stopping.wait(HEALTH_SECONDS)

    def _spawn(self, component: Component) -> _Supervised:
        name = component.name.lower().replace(" ", "-")
        one = _Supervised(Process(component, self._logs / f"{name}.log"))
        self._supervised.append(one)
        return one

    def _again(self, dead: _Supervised, component: Component) -> None:
        """Replace a dead process by a new one."""
        dead.process.stop()  # ends the processes that it had started
        dead.replace(Process(component, dead.process.log))

    def watch(self) -> None:
        """Restart components that die, until ask_to_stop.

        Components recover at the same time; one that needs others is started when those are healthy. Raises
        ComponentFailedError if a component dies too often.
        """
        while not self._stopping.wait(WATCH_SECONDS):
            for one in self._supervised:
                self._look_after(one, time.monotonic())

    def _look_after(self, one: _Supervised, now: float) -> None:
        if one.restart_at is not None:
            if now >= one.restart_at and self._are_up(one.component.needs):
                self._again(one, one.component)
        elif not one.process.is_alive:
            self._note_death(one, now)
        elif one.healthy_since is None:
            if one.look(self._checks):
                self._say(f"{one.component.name} is ready again after {now - one.deaths[-1]:.1f} s")
        elif one.deaths and now - one.healthy_since > FORGET_SECONDS:
            one.deaths.clear()

    def _are_up(self, names: Iterable[str]) -> bool:
        """Return whether the named components, as far as they are supervised here, are healthy."""
        return all(one.is_up for one in self._supervised if one.component.name in names)

    def _note_death(self, one: _Supervised, now: float) -> None:
        """Schedule the restart: the more recent deaths, the longer the pause. Raises ComponentFailedError after too many."""
        one.deaths.append(now)
        if len(one.deaths) > RESTARTS and now - one.deaths[0] < RESTART_WINDOW_SECONDS:
            raise self._failed(one.process)
        pause = PAUSES_SECONDS[min(len(one.deaths), len(PAUSES_SECONDS)) - 1]
        one.restart_at, one.healthy_since = now + pause, None
        when = f" in {pause:g} s" if pause else ""
        self._say(f"{one.component.name} ended unexpectedly and is started again{when} (its log: {one.process.log})")

    def ask_to_stop(self) -> None:
        """Make watch return; may be called from a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """End every process, in reverse order of their start."""
        self._stopping.set()
        while self._supervised:
            self._supervised.pop().process.stop()
        self._checks.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _failed(process: Process) -> ComponentFailedError:
        how = "was not ready in time" if process.is_alive else "ended"
        lines = "\n".join(f"  | {line}" for line in process.last_lines())
        return ComponentFailedError(f"{process.component.name} {how}. The end of its log, {process.log}:\n{lines}")
