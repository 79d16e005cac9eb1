"""What the tour prints, and how it ends at the first thing that is not as it should be."""

from __future__ import annotations

import time
from collections.abc import Callable
from textwrap import fill, indent


class NotAsItShouldBe(Exception):
    """Something is not as it should be; the message says what, and where to look."""


class Telling:
    """Prints the steps, numbered, each with what it does and why."""

    def __init__(self, steps: int) -> None:
        self._steps, self._number, self._began = steps, 0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how long the tour has taken so far."""
        return time.monotonic() - self._began

    def step(self, title: str, why: str) -> None:
        """Begin a step."""
        self._number += 1
        print(f"\n[{self._number}/{self._steps}] {title}  ({self.seconds:.0f} s)", flush=True)
        print(indent(fill(why, 100), "      "), flush=True)

    def check(self, is_so: object, what: str, otherwise: object = "") -> None:
        """Print what is so. Raises NotAsItShouldBe, with what was found ``otherwise``, if it is not."""
        if not is_so:
            raise NotAsItShouldBe(f"This is not so: {what}. {otherwise}".strip())
        print(f"  ok  {what}", flush=True)

    def end(self) -> None:
        """Print the summary. Raises NotAsItShouldBe if a step was left out."""
        if self._number != self._steps:
            raise NotAsItShouldBe(f"The tour took {self._number} of {self._steps} steps.")
        print(f"\nThe tour is over: {self._steps} of {self._steps} steps, {self.seconds:.0f} s. All is as it should be.")


def waited(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something is so. Raises NotAsItShouldBe after ``seconds``."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise NotAsItShouldBe(f"Within {seconds:.0f} s this did not come true: {what}.")
        time.sleep(0.2)
