"""The pages for signing in, uploading and watching imports. They work without JavaScript; scripts add comfort."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Flask, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from pipeline.contracts.object_keys import Kept, report_prefix
from pipeline.contracts.states import State
from pipeline.contracts.workflows import import_workflow_id
from pipeline.ledger.api_keys import Checked, Role
from pipeline.ledger.audit_log import Action
from pipeline.ledger.models import ImportRecord
from pipeline.ledger.sessions import Person
from web.app_context import app_context
from web.http import audit_log, sso
from web.http.audit_log import recorded_as
from web.http.auth import CSRF_FIELD, check_csrf, for_anyone, for_role, key_in_use, opens_pages, sign_in
from web.http.problems import PROBLEM_TYPES
from web.pages import (
    admin,
    audit_log_pages,
    audits,
    connect,
    datasets,
    findings,
    fixes,
    formatting,
    navigation,
    new_dataset,
    next_steps,
    records,
    saved_queries,
    single_sign_on,
    sql,
    upload,
    validations,
)
from web.pages.finding_kinds import kinds_of
from web.pages.fixing import kin_of
from web.pages.import_filters import as_query, filters_in, saved_filters
from web.pages.next_steps import actions, next_step
from web.services import key_scope
from web.services.import_actions import cancel, pause, promote, retry
from web.services.imports import find, removal
from web.services.pace import progress_texts
from web.services.personal_data import may_unmask, withheld
from web.services.reports import of_import

FAILURES_SHOWN = 10
IMPORTS_SHOWN = 50

pages = Blueprint("pages", __name__)


def install(app: Flask) -> None:
    """Add the pages to the app."""
    formatting.install(app)
    navigation.install(app)
    next_steps.install(app)
    app.register_blueprint(pages)
    for more in (
        *(upload.pages, findings.pages, fixes.pages, validations.pages, audits.pages, records.pages),
        *(new_dataset.pages, datasets.pages, sql.pages, saved_queries.pages, connect.pages, admin.pages, audit_log_pages.pages),
    ):
        app.register_blueprint(more)
    single_sign_on.install(app)


# --- signing in ---


@pages.get("/sign-in")
@for_anyone
def sign_in_page() -> ResponseReturnValue:
    """Show a form for an API key or, with the token of a sign-in link, a button that uses it.

    Opening the link changes nothing, because mail and chat programs open links for previews.
    """
    return render_template("sign_in.html", token=request.args.get("token"), next=request.args.get("next"))


@pages.post("/sign-in")
@for_anyone
def sign_in_with_key() -> ResponseReturnValue:
    """Open a session for the API key or the one-time token in the form."""
    check_csrf(request.form.get(CSRF_FIELD))
    if "token" in request.form:
        checked, how = Checked(app_context().keys.redeem(request.form["token"])), "link"
        said = "This sign-in link was already used or has expired. Sign in with an API key, or ask for a new link."
    else:
        checked, how = app_context().keys.examine(request.form.get("key", "").strip(), request.remote_addr or ""), "key"
        said = f"{checked.fault} Ask an administrator for a new one." if checked.fault else "This API key is wrong."
    if checked.key is None:
        audit_log.record_failed_sign_in(how, checked.fault or f"unknown {how}", checked.meant)
        return render_template("sign_in.html", said=said), 401
    if not opens_pages(checked.key):
        audit_log.record_failed_sign_in(how, "single sign-on is required", checked.key)
        said = "Pages require single sign-on here, or a break-glass key. The API takes this key."
        return render_template("sign_in.html", said=said), 403
    sign_in(checked.key, how)
    return redirect(url_for("upload_pages.upload_page"), 303)


@pages.post("/sign-out")
@for_role(Role.READER)
@recorded_as(Action.SIGN_OUT, "key")
def sign_out() -> ResponseReturnValue:
    """End the session, and lead on to the identity provider's sign-out if it began there."""
    key = key_in_use()
    audit_log.about(key.kind, key.id)
    sso.end()
    session.clear()
    if isinstance(key, Person) and (leaving := single_sign_on.signed_out(key)):
        return leaving
    return redirect(url_for("pages.sign_in_page"), 303)


# --- imports ---


@pages.get("/imports")
@for_role(Role.READER)
def imports_page() -> ResponseReturnValue:
    """Show all imports, newest first, with the filters of the address."""
    asked, before = filters_in(request.args), request.args.get("before")
    found = key_scope.imports(**as_query(asked), before=find(before).id if before else None, limit=IMPORTS_SHOWN + 1)
    return render_template(
        "imports.html",
        imports=found[:IMPORTS_SHOWN],
        more=len(found) > IMPORTS_SHOWN,
        datasets=key_scope.datasets(),
        states=list(State),
        asked=asked,
        saved=saved_filters(asked, datetime.now(UTC).date()),
        is_first=before is None,
    )


@pages.get("/imports/<name:import_id>")
@for_role(Role.READER)
def import_page(import_id: str) -> ResponseReturnValue:
    """Show one import: its state, its findings, its counts."""
    one = find(import_id)
    moves = app_context().ledger.imports.moves(one.id)
    reached = {str(move.to_state) for move in moves} | {str(one.state)}
    retry_of, retries = kin_of(one)
    return render_template(
        "import.html",
        one=one,
        verdict=formatting.verdict(one),
        reason=formatting.reason(one),
        asked=formatting.asked(one.options),
        phases=formatting.phases(one, reached, moves),
        progress=progress_texts(one, formatting.load_rate(one, moves)),
        workflow_page=_workflow_page(one),
        moves=moves,
        deliveries=app_context().ledger.deliveries.of_import(one.id),
        kinds=kinds_of(of_import(one)),
        failures=_failures(one),
        has_report=_has_report(one, reached),
        may=actions(one, key_in_use().role),
        next_step=next_step(one, key_in_use().role),
        earlier=key_scope.import_of(one.duplicate_of) if one.duplicate_of else None,
        retry_of=retry_of,
        retries=retries,
        removed=[said for what in Kept if what is not Kept.BATCHES and (said := removal(one, what))],
    )


def _failures(one: ImportRecord) -> list[dict[str, Any]]:
    """Return the first failed records that this key may see."""
    if not one.failed or withheld(one):
        return []
    return app_context().ledger.failures.page(one.id, limit=FAILURES_SHOWN, is_clear=may_unmask())


@pages.get("/imports/<name:import_id>/report")
@for_role(Role.READER)
def report_page(import_id: str) -> ResponseReturnValue:
    """Show Great Expectations' Data Docs of one import within the app."""
    return findings.show_report(findings.of_import_page(find(import_id)))


@pages.post("/imports/<name:import_id>/cancel")
@for_role(Role.UPLOADER)
@recorded_as(Action.CANCEL)
def cancel_from_page(import_id: str) -> ResponseReturnValue:
    """Cancel an import and return to its page."""
    return redirect(url_for("pages.import_page", import_id=cancel(find(import_id)).id), 303)


@pages.post("/imports/<name:import_id>/pause")
@for_role(Role.UPLOADER)
@recorded_as(Action.PAUSE)
def pause_from_page(import_id: str) -> ResponseReturnValue:
    """Pause an import and return to its page."""
    return redirect(url_for("pages.import_page", import_id=pause(find(import_id), wanted=True).id), 303)


@pages.post("/imports/<name:import_id>/resume")
@for_role(Role.UPLOADER)
@recorded_as(Action.RESUME)
def resume_from_page(import_id: str) -> ResponseReturnValue:
    """Resume a paused import and return to its page."""
    return redirect(url_for("pages.import_page", import_id=pause(find(import_id), wanted=False).id), 303)


@pages.post("/imports/<name:import_id>/retry")
@for_role(Role.UPLOADER)
@recorded_as(Action.RETRY)
def retry_from_page(import_id: str) -> ResponseReturnValue:
    """Import the failed records, or else the unprocessed ones, again and go to the new import's page."""
    return redirect(url_for("pages.import_page", import_id=retry(find(import_id), None).made.id), 303)


@pages.post("/imports/<name:import_id>/promote")
@for_role(Role.UPLOADER)
@recorded_as(Action.APPROVAL)
def promote_from_page(import_id: str) -> ResponseReturnValue:
    """Import the file of a dry run and return to its page."""
    return redirect(url_for("pages.import_page", import_id=promote(find(import_id)).id), 303)


def _workflow_page(one: ImportRecord) -> str:
    """Return the address of the import's workflow in Temporal's UI for admins; empty for other roles."""
    settings = app_context().settings
    if not settings.temporal_ui_url or not key_in_use().role.covers(Role.ADMIN):
        return ""
    workflow = quote(import_workflow_id(one.id), safe="")
    return (
        f"{settings.temporal_ui_url.rstrip('/')}/namespaces/{quote(settings.temporal_namespace, safe='')}/workflows/{workflow}"
    )


def _has_report(one: ImportRecord, reached: set[str]) -> bool:
    """Return whether a validation report is stored: it is written at the end of each validation."""
    validated = one.state is not State.VALIDATING and str(State.VALIDATING) in reached and not one.report_removed_at
    return validated and app_context().store.head(f"{report_prefix(one.id)}docs/index.html") is not None


@pages.get("/datasets/<name:dataset>/validations")
@for_role(Role.READER)
def validations_page(dataset: str) -> ResponseReturnValue:
    """Show the validation results of a dataset's files."""
    return validations.show_runs(key_scope.dataset(dataset), request.args.get("before"))


@pages.get("/problems")
@for_anyone
def problems_page() -> ResponseReturnValue:
    """Show all problem types of the API, with advice."""
    return render_template("problems.html", kinds=PROBLEM_TYPES)
