"""What a backup or a restore says while it works."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str, int, int | None], None]
"""Called with the name of a step, how much of it is done, and how much there is in all, if that is known; from one thread."""


def silent(step: str, done: int, total: int | None) -> None:
    """Say nothing."""
