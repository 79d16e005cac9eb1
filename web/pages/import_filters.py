"""Read the filters of the list of imports from its address, and make the links that are saved filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pipeline.contracts.states import State
from pipeline.display import meant
from web.http.problems import Problem

TEXT_CHARACTERS_MAX = 200
NAMES = ("dataset", "state", "text", "by", "since", "until", "with_errors")
WEEK_DAYS = 7


@dataclass(frozen=True)
class SavedFilter:
    """A link to the list with filters; ``is_set``: they are those of the present page."""

    label: str
    filters: dict[str, str]
    is_set: bool


def filters_in(arguments: Mapping[str, str]) -> dict[str, str | None]:
    """Return the filters of an address by name; None for one that is not set. Raises Problem for an unknown state."""
    asked = {name: arguments.get(name, "").strip()[:TEXT_CHARACTERS_MAX] or None for name in NAMES}
    if (state := asked["state"]) is not None and state not in list(State):
        raise Problem("bad_request", f"Unknown state {state!r}.{meant(state, State)} States are: {', '.join(State)}.")
    if (given := asked["with_errors"]) not in (None, "true", "false"):
        raise Problem("bad_request", f"with_errors must be true or false, not {given!r}.")
    return {**asked, "with_errors": "true" if given == "true" else None}


def as_query(asked: Mapping[str, str | None]) -> dict[str, Any]:
    """Return filters as the arguments of ``key_scope.imports``; days are those of UTC, ``until`` included. Raises Problem."""
    return {
        "dataset": asked["dataset"],
        "state": asked["state"],
        "named": asked["text"],
        "by": asked["by"],
        "since": _midnight(asked["since"]),
        "until": _midnight(asked["until"], days=1),
        "with_errors": asked["with_errors"] is not None,
    }


def saved_filters(asked: Mapping[str, str | None], today: date) -> list[SavedFilter]:
    """Return the links above the list: they keep the dataset that is chosen, and replace the other filters."""
    kept = {"dataset": dataset} if (dataset := asked["dataset"]) else {}
    links: tuple[tuple[str, dict[str, str]], ...] = (
        ("All", {}),
        ("With errors", {"with_errors": "true"}),
        ("Mine", {"by": "me"}),
        ("Today", {"since": today.isoformat()}),
        ("Last 7 days", {"since": (today - timedelta(days=WEEK_DAYS - 1)).isoformat()}),
        ("Loading now", {"state": str(State.LOADING)}),
    )
    now = {name: value for name, value in asked.items() if value}
    return [SavedFilter(label, {**kept, **filters}, {**kept, **filters} == now) for label, filters in links]


def _midnight(text: str | None, *, days: int = 0) -> datetime | None:
    """Return midnight of the day in a form field, ``days`` later; None for an empty field. Raises Problem."""
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time.min, UTC) if text else None
    except (ValueError, OverflowError) as error:
        raise Problem("bad_request", f"{text!r} is not a date. Write dates as 2026-01-31.") from error
