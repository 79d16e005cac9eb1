"""How often files of a dataset are expected: ``expect_every`` in the meta of its suite, for instance ``1d``."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.units import duration

SHORTEST = timedelta(minutes=1)
"""The interval of the check, by default."""


def expected_interval(suite: dict[str, Any]) -> timedelta | None:
    """Return the interval that a suite names; None if it names none. Raises ValueError for anything else."""
    said = suite.get("meta", {}).get("expect_every")
    if said is None:
        return None
    interval = duration(said) if isinstance(said, str) else None
    if interval is None or interval < SHORTEST:
        raise ValueError(f"meta.expect_every is a time of at least a minute, such as 15m, 36h, 1d or 2w, not {said!r}")
    return interval


def expected_intervals(root: Path) -> dict[str, timedelta]:
    """Return the intervals of all datasets that have one. A suite that cannot be read has none: its upload says why."""
    found = {}
    for file in sorted((root / "expectations").glob("*.json")):
        try:
            interval = expected_interval(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError):
            continue
        if interval is not None:
            found[file.stem] = interval
    return found
