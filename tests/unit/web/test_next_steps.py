"""The next step of an import: one table of states, counts and roles."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from web.pages.formatting import problems
from web.pages.next_steps import StepKind, actions, next_step

NOW = datetime(2026, 11, 24, 5, 3, 36, tzinfo=UTC)
ONE = ImportRecord(
    id=str(uuid.uuid4()), dataset="places", state=State.QUEUED, filename="a.csv", size_bytes=0, sha256="", bucket="b",
    key="k", etag="", records_total=14, records_valid=14, records_invalid=0, inserted=0, updated=0, unchanged=0, failed=0,
    unprocessed=0, parts_total=0, parts_done=0, findings_errors=0, findings_warnings=0, findings_by_code={}, reason="",
    created_by=None, created_at=NOW, started_at=None, finished_at=None, queue_position=0,
)  # fmt: skip
UPLOADER, READER = Role.UPLOADER, Role.READER
DRY = {"options": Options(dry_run=True), "preview": {"inserted": 14, "updated": 0, "unchanged": 0}}

STEPS: list[tuple[State, dict[str, Any], Role, str | None]] = [  # state, columns, role, the words on the button
    (State.SUCCEEDED, {"inserted": 14}, UPLOADER, "View in the tree"),
    (State.SUCCEEDED, {"inserted": 14}, READER, "View in the tree"),
    (State.SUCCEEDED, {"inserted": 14, "findings_warnings": 3}, UPLOADER, "View in the tree"),
    (State.DUPLICATE, {}, UPLOADER, "View in the tree"),
    (State.REJECTED, {"findings_errors": 5}, UPLOADER, "Fix 5 problems"),
    (State.REJECTED, {"findings_errors": 1}, Role.ADMIN, "Fix 1 problem"),
    (State.REJECTED, {"findings_errors": 10_000}, UPLOADER, "Fix 10,000 problems"),
    (State.REJECTED, {"findings_errors": 5}, READER, "See 5 problems"),
    (State.REJECTED, {"findings_errors": 5, "source_removed_at": NOW}, UPLOADER, "See 5 problems"),
    (State.REJECTED, {"findings_errors": 5, "report_removed_at": NOW}, UPLOADER, None),
    (State.REJECTED, {"findings_errors": 5, "retried_by": ["x"]}, UPLOADER, "Open the retry"),
    (State.REJECTED, {**DRY, "findings_errors": 5}, UPLOADER, "Fix 5 problems"),
    (
        State.PARTIALLY_SUCCEEDED,
        {"inserted": 9, "failed": 5, "quarantined": 5, "findings_errors": 5},
        UPLOADER,
        "Fix 5 problems",
    ),
    (State.PARTIALLY_SUCCEEDED, {"inserted": 9, "failed": 5}, UPLOADER, "Retry 5 failed records"),
    (State.PARTIALLY_SUCCEEDED, {"inserted": 9, "failed": 5}, READER, "View in the tree"),
    (State.PARTIALLY_SUCCEEDED, {"inserted": 9, "failed": 5, "results_removed_at": NOW}, UPLOADER, "View in the tree"),
    (State.PARTIALLY_SUCCEEDED, {"inserted": 9, "failed": 5, "retried_by": ["x"]}, READER, "Open the retry"),
    (State.FAILED, {"parts_done": 1, "inserted": 9, "unprocessed": 5}, UPLOADER, "Retry 5 unprocessed records"),
    (State.FAILED, {"parts_done": 1, "inserted": 9, "unprocessed": 5}, READER, None),
    (State.FAILED, {}, UPLOADER, None),
    (State.CANCELED, {"parts_done": 1, "inserted": 13, "unprocessed": 1}, UPLOADER, "Retry 1 unprocessed record"),
    (State.CANCELED, {}, UPLOADER, None),
    (State.EXPIRED, {}, UPLOADER, None),
    (State.VALIDATED, DRY, UPLOADER, "Import 14 rows"),
    (State.VALIDATED, {**DRY, "records_total": 1}, UPLOADER, "Import 1 row"),
    (State.VALIDATED, {**DRY, "quarantined": 3, "findings_errors": 3}, UPLOADER, "Import 11 rows"),
    (State.VALIDATED, {**DRY, "quarantined": 14, "findings_errors": 14}, UPLOADER, "Fix 14 problems"),
    (State.VALIDATED, DRY, READER, None),
    (State.PAUSED, {"pause_wanted": True}, UPLOADER, "Resume"),
    (State.PAUSED, {"pause_wanted": True}, READER, None),
    (State.LOADING, {"pause_wanted": True}, UPLOADER, "Resume"),
    (State.PAUSED, {"pause_wanted": True, "cancel_requested_at": NOW}, UPLOADER, None),
    *((state, {}, UPLOADER, None) for state in State if not state.is_final and state is not State.PAUSED),
]


@pytest.mark.parametrize(("state", "columns", "role", "label"), STEPS)
def test_the_next_step(state: State, columns: dict[str, Any], role: Role, label: str | None) -> None:
    step = next_step(replace(ONE, state=state, **columns), role)
    assert (step.label if step else None) == label


def test_a_step_is_only_what_the_role_may_do() -> None:
    needs = {StepKind.IMPORT: "promote", StepKind.RETRY: "retry", StepKind.RESUME: "resume"}
    for state, columns, role, _ in STEPS:
        one = replace(ONE, state=state, **columns)
        step = next_step(one, role)
        assert step is None or step.kind not in needs or actions(one, role)[needs[step.kind]], (state, columns)
        assert not any(actions(one, READER).values())
    assert {state for state, *_ in STEPS} == set(State)


def test_errors_are_those_of_validation_and_of_the_warehouse() -> None:
    assert problems(replace(ONE, findings_errors=5, failed=5, quarantined=5)) == 5
    assert problems(replace(ONE, findings_errors=5, failed=7, quarantined=5)) == 7
    assert problems(ONE) == 0
