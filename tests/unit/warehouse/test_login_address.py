"""The address that the Connect page shows: the setting, and what it leaves out from the URL of users' SQL."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.settings import Settings
from pipeline.warehouse.login_address import LoginAddress, login_address

URL = "postgresql://app:p@10.1.2.3:6432/prod"


def settings(url: str = URL, address: str = "", **more: str) -> Settings:
    return Settings(_env_file=None, DATABASE_URL=url, BULKHEAD_CONNECT_ADDRESS=address, **more)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("url", "address", "expected"),
    [
        (URL, "", LoginAddress("10.1.2.3", 6432, "prod", "require")),
        (URL, "off", LoginAddress("10.1.2.3", 6432, "prod", "require")),
        (URL, "db.example", LoginAddress("db.example", 6432, "prod", "require")),
        (URL, "db.example:5433", LoginAddress("db.example", 5433, "prod", "require")),
        (URL, "db.example:5433/reports", LoginAddress("db.example", 5433, "reports", "require")),
        (URL, "[2001:db8::1]:5433/x", LoginAddress("2001:db8::1", 5433, "x", "require")),
        (f"{URL}?sslmode=verify-full", "db.example", LoginAddress("db.example", 6432, "prod", "verify-full")),
        ("postgresql://a:b@127.0.0.1/x", "", LoginAddress("127.0.0.1", 5432, "x", "prefer")),
        ("postgresql://a:b@/x?host=/run/postgresql", "", LoginAddress("", 5432, "x", "require")),
        ("postgresql://a:b@/x?host=/run/postgresql", "db:1", LoginAddress("db", 1, "x", "require")),
        ("postgresql://a:b@/x?host=db1,db2&port=7,8", "", LoginAddress("db1", 7, "x", "require")),
    ],
)
def test_address(url: str, address: str, expected: LoginAddress) -> None:
    assert login_address(settings(url, address)) == expected


def test_it_is_where_users_sql_runs() -> None:
    more = {"DATABASE_READ_URL": "postgresql://a:b@replica:1/x"}
    assert login_address(settings(**more)).host == "replica"
    assert login_address(settings(**more, BULKHEAD_SQL_URL="postgresql://a:b@sql:2/x")).host == "sql"


def test_as_a_url() -> None:
    assert (
        LoginAddress("2001:db8::1", 5433, "x", "require").url("u", "p")
        == "postgresql://u:p@[2001:db8::1]:5433/x?sslmode=require"
    )
    assert LoginAddress("localhost", 1, "x", "prefer").is_local and not LoginAddress("db", 1, "x", "require").is_local


@pytest.mark.parametrize("wrong", ["http://db", "db:x", "db/a/b", "db 1", "u:p@db", "db:5432?x", "-> db", "[db"])
def test_another_form_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        settings(address=wrong)
