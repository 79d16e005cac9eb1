"""The Connect page: how psql, DBeaver, Metabase, Power BI and Python read the database, and logins for them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.database_logins import LONGEST, LONGEST_OF_PERSON
from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.ledger.database_logins import DatabaseLogin
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem
from web.services import database_logins, key_scope

LIFETIMES_DAYS = (1, 7, 30, 90)

pages = Blueprint("connect_pages", __name__)


@pages.get("/connect")
@for_role(Role.READER)
def connect_page() -> ResponseReturnValue:
    """Show the address, the logins, and what each program needs."""
    return _page()


@pages.post("/connect")
@for_role(Role.READER)
@recorded_as(Action.DATABASE_LOGIN_CREATED, "database_login", "login_id")
def create_login() -> ResponseReturnValue:
    """Make a login and show its password, once."""
    try:
        made = database_logins.make(request.form.get("label", ""), _days())
    except InvalidRequest as error:
        return _page(said=str(error)), 400
    return _page(made=made), 201


@pages.post("/connect/<name:login_id>/revoke")
@for_role(Role.READER)
@recorded_as(Action.DATABASE_LOGIN_REVOKED, "database_login", "login_id")
def revoke_login(login_id: str) -> ResponseReturnValue:
    """Revoke a login."""
    database_logins.revoke(login_id)
    return redirect(url_for("connect_pages.connect_page"), 303)


def _days() -> int | None:
    """Return the days of the form. Raises Problem."""
    days = request.form.get("days", "")
    if not days:
        return None
    if not (days.isascii() and days.isdigit() and 0 < int(days[:4]) <= LONGEST.days):
        raise Problem("bad_request", f"The login works for 1 to {LONGEST.days} days.")
    return int(days)


def _page(made: tuple[str, DatabaseLogin] | None = None, said: str | None = None) -> str:
    longest = (LONGEST if key_in_use().kind == "key" else LONGEST_OF_PERSON).days
    password, login = made or ("", None)
    at = database_logins.address()
    return render_template(
        "connect.html",
        at=at,
        is_off=database_logins.is_off(),
        made=login,
        password=password,
        user=login.role if login else "USER",
        url=at.url(login.role if login else "USER", password or "PASSWORD"),
        said=said,
        logins=database_logins.listed(),
        own=key_in_use().id,
        lifetimes=[days for days in LIFETIMES_DAYS if days <= longest],
        table=_example_table(),
        seconds=app_context().settings.sql_seconds,
    )


def _example_table() -> dict[str, Any]:
    """Return the name of a table for the examples, and of one that a client without a schema would not find."""
    names = [one.name for one in key_scope.datasets()]
    return {"name": names[0] if names else "records"}
