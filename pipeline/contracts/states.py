"""States of an import and the legal moves between them, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where an import stands. The first seven are under way, the others are final."""

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
        """No step follows by itself: what leads out of a final state, if anything does, is somebody's wish."""
        return not MOVES[self] or self is State.VALIDATED

    @property
    def is_settled(self) -> bool:
        """Nothing leads out of it any more, not even somebody's wish: a dry run that may be promoted is not settled."""
        return not MOVES[self]


MOVES: Mapping[State, Mapping[State, str]] = {
    State.AWAITING_UPLOAD: {
        State.QUEUED: "the file is whole in S3",
        State.EXPIRED: "the upload was given up or broke off",
        State.CANCELED: "the user canceled before the file was whole",
    },
    State.QUEUED: {
        State.VALIDATING: "its turn in the dataset's queue has come",
        State.CANCELED: "the user canceled while it waited",
        State.DUPLICATE: "an earlier import already loaded this content",
        State.FAILED: "the system could not take it up",
    },
    State.VALIDATING: {
        State.PREPARING: "nothing stands against loading it, or what does is held back",
        State.REJECTED: "a finding is an error: nothing is written",
        State.VALIDATED: "a dry run: it would be loaded, and nothing is written",
        State.FAILED: "the system, not the file, was at fault",
        State.CANCELED: "the user canceled; nothing is written",
        State.DUPLICATE: "an earlier import already loaded this content",
    },
    State.VALIDATED: {
        State.QUEUED: "the user promoted it: the very bytes that were validated are loaded",
        State.EXPIRED: "the dry run was not promoted within the time that BULKHEAD_KEEP_DRY_RUNS sets",
    },
    State.PREPARING: {
        State.VALIDATING: "its run was lost with the orchestrator; it begins again",
        State.LOADING: "the batches are stored",
        State.REJECTED: "the file was replaced before it could be cut into batches",
        State.FAILED: "the system, not the file, was at fault",
        State.CANCELED: "the user canceled; nothing is written",
    },
    State.LOADING: {
        State.VALIDATING: "its run was lost with the orchestrator; it begins again, and loaded parts stay loaded",
        State.SUCCEEDED: "every record is in the warehouse",
        State.PARTIALLY_SUCCEEDED: "the warehouse refused some records for good; the others are in",
        State.FAILED: "the system gave up; what was loaded stays, and the counts say what",
        State.CANCELED: "the user canceled; the counts say what was loaded",
        State.PAUSED: "the user paused it; the parts that were under way are loaded",
    },
    State.PAUSED: {
        State.LOADING: "the user resumed it",
        State.VALIDATING: "its run was lost with the orchestrator; it begins again, and loaded parts stay loaded",
        State.FAILED: "the system gave up; what was loaded stays, and the counts say what",
        State.CANCELED: "the user canceled; the counts say what was loaded",
    },
    State.SUCCEEDED: {},
    State.PARTIALLY_SUCCEEDED: {},
    State.REJECTED: {},
    State.FAILED: {},
    State.CANCELED: {},
    State.EXPIRED: {},
    State.DUPLICATE: {},
}
"""Every legal move, each with its reason. Nothing else may know the rules."""

AT_WORK = (State.VALIDATING, State.PREPARING, State.LOADING, State.PAUSED)
"""The states of an import that is at work: of a dataset there is never more than one (the index import_at_work sees to it)."""

ACTIVE = (State.QUEUED, *AT_WORK)
"""The states of an import that stands in its dataset's queue."""

CANCELED_BY_USER = "canceled by the user"
"""Why an import ended, if its cancellation was asked for."""
