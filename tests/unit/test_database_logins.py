"""Why a login to the database ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.database_logins import why_ended
from pipeline.ledger.database_logins import DatabaseLogin, Rights

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OF_KEY = DatabaseLogin(
    *("1", "bulkhead_login_1", "bulkhead_reader_1", "psql", "key", "2", "me"),
    datasets=("places",),
    unmask=False,
    created_at=NOW,
    expires_at=NOW + timedelta(days=1),
)
OF_PERSON = replace(OF_KEY, owner_kind="user")
SAME = Rights(("places",), unmask=False, works=True)


@pytest.mark.parametrize(
    ("login", "rights", "why"),
    [
        (OF_KEY, SAME, ""),
        (OF_KEY, replace(SAME, unmask=True), ""),
        (OF_KEY, replace(SAME, works=False), "revoked or has expired"),
        (OF_KEY, None, "no longer exists"),
        (OF_KEY, replace(SAME, datasets=None), "datasets of its owner have changed"),
        (OF_KEY, replace(SAME, datasets=("places", "records")), "datasets of its owner have changed"),
        (replace(OF_KEY, unmask=True), SAME, "datasets of its owner have changed"),
        (replace(OF_KEY, expires_at=NOW), SAME, "has expired"),
        (OF_PERSON, None, ""),
        (OF_PERSON, SAME, ""),
        (OF_PERSON, replace(SAME, datasets=("records",)), "datasets of its owner have changed"),
    ],
)
def test_why(login: DatabaseLogin, rights: Rights | None, why: str) -> None:
    said = why_ended(login, rights, is_off=False, now=NOW)
    assert (why in said) if why else said == ""
    assert why_ended(login, rights, is_off=True, now=NOW) == "Logins to the database were switched off."
