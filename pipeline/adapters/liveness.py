"""Tell a server that is silent from one that is slow, so that a person gets an answer within seconds.

A server that is frozen, or behind a proxy that accepts and forwards nothing, keeps its connections: the kernel acknowledges
what is sent, so neither TCP nor the server's own time limits end the wait. A slow request looks the same. What tells them apart
is a second, cheap request, a probe: a Liveness sends it as soon as an answer is overdue, one at a time for the whole process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_SECONDS = 1.0
"""How long an answer may take before the server is probed."""

SILENT_SECONDS = 1.5
"""A server that has not answered the probe for so long counts as silent."""

PROBE_AGAIN_SECONDS = 0.2
"""The pause between a probe that timed out and the next one."""


class Liveness:
    """Knows whether a server answers. Safe to share between threads; starts no thread before it has to.

    ``probe`` asks the server: True if all is well, False if it answered something else (an error, a refused connection). It
    raises TimeoutError if nothing came back, and is then called again until something does.
    """

    def __init__(self, probe: Callable[[], bool]) -> None:
        self._probe = probe
        self._changed = threading.Condition()
        self._unanswered_since: float | None = None
        self._answers = 0
        self._is_well = False

    @property
    def silent(self) -> bool:
        """Whether a probe has been without an answer for SILENT_SECONDS."""
        since = self._unanswered_since
        return since is not None and time.monotonic() - since >= SILENT_SECONDS

    def suspect(self, *, waited: float = 0.0) -> None:
        """Probe the server, unless a probe is under way: an answer has been overdue for ``waited`` seconds."""
        with self._changed:
            began = time.monotonic() - waited
            if self._unanswered_since is not None:
                self._unanswered_since = min(self._unanswered_since, began)
                return
            self._unanswered_since = began
            threading.Thread(target=self._ask, name="liveness probe", daemon=True).start()

    def is_well(self, seconds: float) -> bool:
        """Probe the server now, waiting at most ``seconds`` for the answer; return whether all is well."""
        with self._changed:
            before = self._answers
            self.suspect()
            return self._changed.wait_for(lambda: self._answers > before, seconds) and self._is_well

    def _ask(self) -> None:
        while (is_well := self._answer()) is None:
            time.sleep(PROBE_AGAIN_SECONDS)
        with self._changed:
            self._unanswered_since, self._is_well = None, is_well
            self._answers += 1
            self._changed.notify_all()

    def _answer(self) -> bool | None:
        try:
            return self._probe()
        except TimeoutError:
            return None
        except Exception:  # whatever went wrong, it was an answer
            return False
