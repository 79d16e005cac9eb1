"""Cases of a test, of which a daily run has some and a thorough one all."""

from __future__ import annotations

from typing import Any

import pytest


def seeds(count: int, *, daily: int) -> list[Any]:
    """Return the seeds 0 to ``count`` - 1; those from ``daily`` on are for thorough runs."""
    return [pytest.param(seed, marks=pytest.mark.thorough) if seed >= daily else seed for seed in range(count)]
