"""The saved queries of the SQL page, each with an address, and the last queries that were run: of the key in use only."""

from __future__ import annotations

from typing import NoReturn

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action, Also
from pipeline.ledger.saved_queries import RUNS_KEPT, RUNS_KEPT_FOR
from web.app_context import app_context
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem
from web.pages.sql import address_of, page
from web.pages.sql_tokens import tokens

TOKENS_SHOWN = 2_000
"""So many pieces of a query are coloured in a list; the rest of a longer one is left out."""

pages = Blueprint("saved_query_pages", __name__, url_prefix="/sql")


@pages.post("/saved")
@for_role(Role.READER)
@recorded_as(Action.QUERY_SAVED, "query", "query_id")
def save_query() -> ResponseReturnValue:
    """Save the query under a name, in place of the one of that name."""
    sql, name = request.form.get("sql", ""), request.form.get("name", "")

    def recorded(query_id: str) -> Also:
        return audit_log.entry("query", query_id)

    try:
        query_id = app_context().ledger.saved_queries.save(key_in_use(), name, sql, recorded)
    except InvalidRequest as error:
        return page(sql, said=str(error)), 400
    return redirect(url_for("saved_query_pages.saved_query", query_id=query_id), 303)


@pages.get("/saved/<name:query_id>")
@for_role(Role.READER)
def saved_query(query_id: str) -> ResponseReturnValue:
    """Show the page with a saved query filled in; it is not run."""
    found = app_context().ledger.saved_queries.get(key_in_use(), query_id)
    if found is None:
        _unknown()
    return page(found.sql, saved=found)


@pages.post("/saved/<name:query_id>/delete")
@for_role(Role.READER)
@recorded_as(Action.QUERY_DELETED, "query", "query_id")
def delete_query(query_id: str) -> ResponseReturnValue:
    """Delete a saved query."""
    if not app_context().ledger.saved_queries.delete(key_in_use(), query_id, audit_log.entry()):
        _unknown()
    return redirect(url_for("sql_pages.sql_page"), 303)


@pages.get("/history")
@for_role(Role.READER)
def history_page() -> ResponseReturnValue:
    """Show the last queries of the key in use, newest first."""
    runs = app_context().ledger.saved_queries.runs(key_in_use())
    shown = [(one, address_of(one.sql), tokens(one.sql)[:TOKENS_SHOWN]) for one in runs]
    return render_template("sql_history.html", runs=shown, kept=RUNS_KEPT, days=RUNS_KEPT_FOR.days)


@pages.post("/history/clear")
@for_role(Role.READER)
@recorded_as(Action.QUERY_DELETED, "query_history", "query_id")
def clear_history() -> ResponseReturnValue:
    """Forget the last queries of the key in use."""
    app_context().ledger.saved_queries.forget_runs(key_in_use(), audit_log.entry())
    return redirect(url_for("saved_query_pages.history_page"), 303)


def _unknown() -> NoReturn:
    raise Problem("not_found", "There is no such saved query of yours. It may have been deleted, or be about other datasets.")
