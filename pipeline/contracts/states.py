"""States of an import and the legal moves between them, each with the reason that the user sees."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """The state of an import. The first six are active, the others final."""

    AWAITING_UPLOAD = "awaiting_upload"
    QUEUED = "queued"
    VALIDATING = "validating"
    PREPARING = "preparing"
    LOADING = "loading"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    VALIDATED = "validated"

    @property
    def is_final(self) -> bool:
        """Return whether no step follows by itself. A user may still promote a validated dry run."""
        return not MOVES[self] or self is State.VALIDATED

    @property
    def is_settled(self) -> bool:
        """Return whether no move leads out of it, not even a user's: a dry run that may be promoted is not settled."""
        return not MOVES[self]


_SYSTEM_ERROR = "System error; the file is not at fault"
_NOT_IMPORTED = "Canceled; nothing was imported"
_PARTLY_IMPORTED = "Canceled; the counts show what was imported"
_PARTLY_FAILED = "System error; the counts show what was imported"
_RESTARTED = "Restarted after its run was lost; loaded parts stay loaded"
_DUPLICATE = "An earlier import already loaded this content"

MOVES: Mapping[State, Mapping[State, str]] = {
    State.AWAITING_UPLOAD: {
        State.QUEUED: "Upload complete",
        State.EXPIRED: "Upload abandoned or interrupted",
        State.CANCELED: "Canceled before the upload was complete",
    },
    State.QUEUED: {
        State.VALIDATING: "Started",
        State.CANCELED: "Canceled while waiting",
        State.DUPLICATE: _DUPLICATE,
        State.FAILED: "System error; the import could not be started",
    },
    State.VALIDATING: {
        State.PREPARING: "Validation complete; rows with errors, if any, are in quarantine",
        State.REJECTED: "Errors found; nothing was imported",
        State.VALIDATED: "Dry run complete; nothing was imported",
        State.FAILED: _SYSTEM_ERROR,
        State.CANCELED: _NOT_IMPORTED,
        State.DUPLICATE: _DUPLICATE,
    },
    State.VALIDATED: {
        State.QUEUED: "Promoted; the checked file will be imported",
        State.EXPIRED: "Dry run not promoted within BULKHEAD_KEEP_DRY_RUNS",
    },
    State.PREPARING: {
        State.VALIDATING: "Restarted after its run was lost",
        State.LOADING: "Parts stored",
        State.REJECTED: "File replaced while it was being imported",
        State.FAILED: _SYSTEM_ERROR,
        State.CANCELED: _NOT_IMPORTED,
    },
    State.LOADING: {
        State.VALIDATING: _RESTARTED,
        State.SUCCEEDED: "Every record was imported",
        State.PARTIALLY_SUCCEEDED: "Some records were not imported; the others were",
        State.FAILED: _PARTLY_FAILED,
        State.CANCELED: _PARTLY_IMPORTED,
        State.PAUSED: "Paused; parts that were being loaded are complete",
    },
    State.PAUSED: {
        State.LOADING: "Resumed",
        State.VALIDATING: _RESTARTED,
        State.FAILED: _PARTLY_FAILED,
        State.CANCELED: _PARTLY_IMPORTED,
    },
    State.SUCCEEDED: {},
    State.PARTIALLY_SUCCEEDED: {},
    State.REJECTED: {},
    State.FAILED: {},
    State.CANCELED: {},
    State.EXPIRED: {},
    State.DUPLICATE: {},
}
"""Every legal move with its reason: the only place that defines them."""

AT_WORK = (State.VALIDATING, State.PREPARING, State.LOADING, State.PAUSED)
"""The states of an import that is being processed: at most one a dataset, which the index import_at_work enforces."""

ACTIVE = (State.QUEUED, *AT_WORK)
"""The states of an import in its dataset's queue."""

CANCELED_BY_USER = "canceled by the user"
"""The reason of an import that ended because its cancellation was requested."""
