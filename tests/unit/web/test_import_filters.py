"""The filters of the list of imports, and the links that are saved filters."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from web.http.problems import Problem
from web.pages.import_filters import NAMES, as_query, filters_in, saved_filters

NONE = dict.fromkeys(NAMES)


def test_filters_come_from_the_address() -> None:
    asked = filters_in({"dataset": " places ", "with_errors": "true", "by": "me", "since": "2026-01-31", "until": "2026-01-31"})
    assert asked == {
        **NONE,
        "dataset": "places",
        "with_errors": "true",
        "by": "me",
        "since": "2026-01-31",
        "until": "2026-01-31",
    }
    query = as_query(asked)
    assert (query["since"], query["until"]) == (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert (query["dataset"], query["by"], query["with_errors"], query["named"]) == ("places", "me", True, None)
    assert filters_in({}) == filters_in({"state": "", "with_errors": "false"}) == NONE
    assert as_query(NONE)["with_errors"] is False


@pytest.mark.parametrize(
    "wrong", [{"state": "sleeping"}, {"with_errors": "1"}, {"since": "31.1.2026"}, {"until": "9999-12-31"}]
)
def test_a_wrong_filter_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(Problem):
        as_query(filters_in(wrong))


def test_saved_filters_keep_the_dataset() -> None:
    asked = {**NONE, "dataset": "places", "with_errors": "true"}
    links = {one.label: one for one in saved_filters(asked, date(2026, 3, 2))}
    assert all(one.filters["dataset"] == "places" for one in links.values())
    assert [label for label, one in links.items() if one.is_set] == ["With errors"]
    assert links["Last 7 days"].filters["since"] == "2026-02-24"
    assert [one.label for one in saved_filters(NONE, date(2026, 3, 2)) if one.is_set] == ["All"]
    assert [one.label for one in saved_filters({**NONE, "text": "a"}, date(2026, 3, 2)) if one.is_set] == []
