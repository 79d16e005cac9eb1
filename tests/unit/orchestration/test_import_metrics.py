"""How long the phases of an import took, from its changes of state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.ledger.models import Move
from pipeline.orchestration.import_metrics import phase_seconds

BEGAN = datetime(2026, 11, 23, tzinfo=UTC)


def moves(*steps: tuple[int, str]) -> list[Move]:
    """Return moves to states, each so many seconds after the beginning."""
    states = [None, *(state for _, state in steps)]
    return [
        Move(BEGAN + timedelta(seconds=second), before, state, "")
        for (second, state), before in zip(steps, states, strict=False)
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {}),
        ([(0, "awaiting_upload"), (5, "expired")], {}),
        (
            [
                (0, "awaiting_upload"),
                (60, "queued"),
                (70, "validating"),
                (90, "preparing"),
                (91, "loading"),
                (100, "succeeded"),
            ],
            {"queued": 10, "validating": 20, "preparing": 1, "loading": 9, "whole": 40},
        ),
        ([(0, "queued"), (1, "validating"), (3, "rejected")], {"queued": 1, "validating": 2, "whole": 3}),
        (  # paused is no phase, and a validation that was begun again counts twice
            [
                (0, "queued"),
                (1, "validating"),
                (2, "loading"),
                (3, "paused"),
                (9, "loading"),
                (10, "validating"),
                (15, "failed"),
            ],
            {"queued": 1, "validating": 6, "loading": 2, "whole": 15},
        ),
        (  # a dry run that was promoted a day later
            [
                (0, "queued"),
                (1, "validating"),
                (2, "validated"),
                (86400, "queued"),
                (86402, "validating"),
                (86405, "succeeded"),
            ],
            {"queued": 2, "validating": 3, "whole": 5},
        ),
    ],
)
def test_phases(given: list[tuple[int, str]], expected: dict[str, float]) -> None:
    assert phase_seconds(moves(*given)) == expected
