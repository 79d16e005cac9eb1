"""Decide what a user can do with an import, and which of it is the next step: the primary button of its page and of its row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flask import Flask

from pipeline.contracts.object_keys import Kept
from pipeline.contracts.states import ACTIVE, State
from pipeline.display import counted
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from web.http.auth import key_in_use
from web.services.import_actions import default_kind, needed_for


class StepKind(StrEnum):
    """What a next step does. The first four open a page; the others change the import, after a question on its page."""

    VIEW = "view"
    FIX = "fix"
    READ = "read"
    OPEN_RETRY = "open_retry"
    IMPORT = "import"
    RETRY = "retry"
    RESUME = "resume"


@dataclass(frozen=True)
class Step:
    """The next step of an import, and the words on its button."""

    kind: StepKind
    label: str


_IN_WAREHOUSE = (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED, State.DUPLICATE)


def install(app: Flask) -> None:
    """Register the filter ``next_step`` of the templates: the step for the key in use."""
    app.jinja_env.filters["next_step"] = lambda one: next_step(one, key_in_use().role)


def actions(one: ImportRecord, role: Role) -> dict[str, bool]:
    """Return which actions a role may take on an import in its present state."""
    asks, over = role.covers(Role.UPLOADER), one.state.is_final
    goes_on = asks and one.state in ACTIVE and not one.cancel_requested
    return {
        "cancel": asks and not over and not one.cancel_requested,
        "pause": goes_on and not one.pause_wanted,
        "resume": goes_on and one.pause_wanted,
        "promote": asks and one.state is State.VALIDATED,
        "correct": asks and one.state in (State.REJECTED, State.PARTIALLY_SUCCEEDED),
        "retry": asks
        and over
        and one.state is not State.VALIDATED
        and bool(one.failed or (one.parts_done and one.unprocessed))
        and one.removed_at(needed_for(one, default_kind(one))) is None,
    }


def next_step(one: ImportRecord, role: Role) -> Step | None:
    """Return the step that leads on from here; None while the import only has to be waited for, or nothing is left to do."""
    may = actions(one, role)
    if may["resume"]:
        return Step(StepKind.RESUME, "Resume")
    if may["promote"] and (importable := one.records_total - one.quarantined):
        return Step(StepKind.IMPORT, f"Import {counted(importable, 'row')}")
    if not one.state.is_final:
        return None
    return _after_the_end(one, may, is_uploader=role.covers(Role.UPLOADER))


def _after_the_end(one: ImportRecord, may: dict[str, bool], *, is_uploader: bool) -> Step | None:
    """Return the step after an import that has ended: what it left open comes first, then a look at what it loaded."""
    is_incomplete = one.state in (State.REJECTED, State.PARTIALLY_SUCCEEDED, State.FAILED, State.CANCELED)
    if is_incomplete and one.retried_by:
        return Step(StepKind.OPEN_RETRY, "Open the retry")
    if one.findings_errors and one.state is not State.SUCCEEDED and one.removed_at(Kept.REPORT) is None:
        return _problems(one, is_uploader=is_uploader and one.removed_at(Kept.SOURCE) is None)
    if may["retry"]:
        kind = default_kind(one)
        return Step(StepKind.RETRY, f"Retry {counted(one.failed or one.unprocessed, f'{kind} record')}")
    return Step(StepKind.VIEW, "View in the tree") if one.state in _IN_WAREHOUSE else None


def _problems(one: ImportRecord, *, is_uploader: bool) -> Step:
    """Return the step to the findings: to fix them, or for a role that may not, or without the file, to read them."""
    problems = counted(one.findings_errors, "problem")
    return Step(StepKind.FIX, f"Fix {problems}") if is_uploader else Step(StepKind.READ, f"See {problems}")
