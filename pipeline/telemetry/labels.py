"""Bound the number of time series: at most so many datasets have series of their own, the rest are ``other``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from pipeline.telemetry.metric import OTHER

LOOK_SECONDS = 30.0
"""How often to look for new datasets, at most."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class DatasetLabels:
    """The datasets that have series of their own: the first ``most`` that are defined. Safe to share between threads.

    A name that is not defined never takes a place: any client of the object store can invent one.
    """

    def __init__(self, most: int, defined: Callable[[], Collection[str]]) -> None:
        self._most = most
        self._defined = defined
        self._admitted: dict[str, None] = {}
        self._looked_at: float | None = None
        self._lock = threading.Lock()

    def of(self, dataset: str) -> str:
        """Return the label of a dataset: its name, or ``other``."""
        if dataset in self._admitted:
            return dataset
        with self._lock:
            self._look()
        return dataset if dataset in self._admitted else OTHER

    def all(self) -> list[str]:
        """Return the datasets that have series of their own."""
        with self._lock:
            self._look()
            return list(self._admitted)

    def _look(self) -> None:
        """Admit defined datasets in the order of their names as long as there is room."""
        now = time.monotonic()
        full = len(self._admitted) >= self._most
        if full or (self._looked_at is not None and now - self._looked_at < LOOK_SECONDS):
            return
        self._looked_at = now
        for name in sorted(self._defined()):
            if len(self._admitted) < self._most:
                self._admitted.setdefault(name)


def method_label(method: str) -> str:
    """Return the label of a request's method; a client may invent any."""
    return method if method in METHODS else OTHER
