"""The pages for signing in, uploading and watching imports. They work without JavaScript; scripts add comfort."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Flask, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from pipeline.contracts.object_keys import Kept, report_prefix
from pipeline.contracts.options import Options
from pipeline.contracts.states import ACTIVE, State
from pipeline.contracts.workflows import import_workflow_id
from pipeline.display import meant
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import app_context
from web.http.auth import CSRF_FIELD, check_csrf, checks_csrf_itself, for_anyone, for_role, key_in_use, sign_in
from web.http.problems import PROBLEM_TYPES, Problem, refuse_parameters
from web.http.request_body import Form
from web.models.uploads import UploadQuery
from web.pages import admin, findings, formatting, records, sql, trend_charts
from web.services import key_scope
from web.services.import_actions import cancel, default_kind, needed_for, pause, promote, retry
from web.services.imports import check_kept, find, removal
from web.services.pace import progress_texts
from web.services.stored_findings import stored_groups
from web.services.uploads import Upload, body_chunks, dataset_for, receive, upload_slot

GROUPS_SHOWN = 8
"""Groups of findings shown for each code; the files contain all findings."""

FAILURES_SHOWN = 10
IMPORTS_SHOWN = 50
RECENT_SHOWN = 5

pages = Blueprint("pages", __name__)


def install(app: Flask) -> None:
    """Add the pages to the app."""
    formatting.install(app)
    app.register_blueprint(pages)
    for more in (findings.pages, records.pages, sql.pages, admin.pages):
        app.register_blueprint(more)


# --- signing in ---


@pages.get("/sign-in")
@for_anyone
def sign_in_page() -> ResponseReturnValue:
    """Show a form for an API key or, with the token of a sign-in link, a button that uses it.

    Opening the link changes nothing, because mail and chat programs open links for previews.
    """
    return render_template("sign_in.html", token=request.args.get("token"))


@pages.post("/sign-in")
@for_anyone
def sign_in_with_key() -> ResponseReturnValue:
    """Open a session for the API key or the one-time token in the form."""
    check_csrf(request.form.get(CSRF_FIELD))
    if "token" in request.form:
        key = app_context().keys.redeem(request.form["token"])
        said = "This sign-in link was already used or has expired. Sign in with an API key, or ask for a new link."
    else:
        key = app_context().keys.check(request.form.get("key", "").strip())
        said = "This API key is wrong or was revoked."
    if key is None:
        return render_template("sign_in.html", said=said), 401
    sign_in(key)
    return redirect(url_for("pages.upload_page"), 303)


@pages.post("/sign-out")
@for_role(Role.READER)
def sign_out() -> ResponseReturnValue:
    """End the session."""
    session.clear()
    return redirect(url_for("pages.sign_in_page"), 303)


# --- uploading ---


@pages.get("/")
@for_role(Role.READER)
def upload_page() -> ResponseReturnValue:
    """Show the upload form, and below it the latest imports."""
    recent = key_scope.imports(limit=RECENT_SHOWN)
    datasets = key_scope.datasets()
    there = with_tables(app_context().engine, [one.name for one in datasets])
    chosen = request.args.get("dataset", "")
    g.connects_to = app_context().store.public_origin
    return render_template(
        "upload.html",
        datasets=datasets,
        without_table=[one.name for one in datasets if one.name not in there],
        recent=recent,
        chosen=chosen if chosen in there else next((one.name for one in datasets if one.name in there), ""),
        may_upload=key_in_use().role.covers(Role.UPLOADER),
    )


@pages.post("/upload")
@for_role(Role.UPLOADER)
@checks_csrf_itself
def upload() -> ResponseReturnValue:
    """Import a file from the form. Token, dataset and options come before the file, so the file is streamed, not buffered."""
    with upload_slot(app_context()):
        form = Form(body_chunks(request, app_context().settings.max_upload_bytes), request.mimetype_params.get("boundary", ""))
        check_csrf(form.fields.get(CSRF_FIELD))
        brought = Upload(form.filename, form.file_chunks(), _options(form.fields))
        dataset = dataset_for(form.fields.get("dataset", ""), brought.options)
        receipt = receive(app_context(), brought, dataset=dataset, key=key_in_use())
    return redirect(url_for("pages.import_page", import_id=receipt.made.id), 303)


def _options(fields: dict[str, str]) -> Options:
    """Return the options in the form; an empty field is no option."""
    given = {name: fields[name] for name in UploadQuery.model_fields if fields.get(name) and name != "filename"}
    try:
        return UploadQuery.model_validate(given).options
    except ValidationError as error:
        refuse_parameters(error)


# --- imports ---


@pages.get("/imports")
@for_role(Role.READER)
def imports_page() -> ResponseReturnValue:
    """Show all imports, newest first, filtered by dataset, state, days (UTC) or file name."""
    asked = {name: request.args.get(name, "").strip() or None for name in ("dataset", "state", "since", "until", "text")}
    if asked["state"] is not None and asked["state"] not in list(State):
        raise Problem(
            "bad_request",
            f"Unknown state {asked['state']!r}.{meant(asked['state'], State)} States are: {', '.join(State)}.",
        )
    before = request.args.get("before")
    found = key_scope.imports(
        dataset=asked["dataset"],
        state=asked["state"],
        since=_day(asked["since"]),
        until=_day(asked["until"], days=1),
        named=asked["text"],
        before=find(before).id if before else None,
        limit=IMPORTS_SHOWN + 1,
    )
    return render_template(
        "imports.html",
        imports=found[:IMPORTS_SHOWN],
        more=len(found) > IMPORTS_SHOWN,
        datasets=key_scope.datasets(),
        states=list(State),
        asked=asked,
        is_first=before is None,
    )


def _day(text: str | None, *, days: int = 0) -> datetime | None:
    """Return midnight of the day in a form field, ``days`` later; None for an empty field. Raises Problem."""
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time.min, UTC) if text else None
    except (ValueError, OverflowError) as error:
        raise Problem("bad_request", f"{text!r} is not a date. Write dates as 2026-01-31.") from error


@pages.get("/imports/<name:import_id>")
@for_role(Role.READER)
def import_page(import_id: str) -> ResponseReturnValue:
    """Show one import: its state, its findings, its counts."""
    one = find(import_id)
    moves = app_context().ledger.imports.moves(one.id)
    reached = {str(move.to_state) for move in moves} | {str(one.state)}
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
        kinds=_kinds(one),
        failures=app_context().ledger.failures.page(one.id, limit=FAILURES_SHOWN) if one.failed else [],
        has_report=_has_report(one, reached),
        may=_may(one),
        earlier=key_scope.import_of(one.duplicate_of) if one.duplicate_of else None,
        retries=app_context().ledger.imports.retries(one.id),
        removed=[said for what in Kept if what is not Kept.BATCHES and (said := removal(one, what))],
    )


@pages.get("/imports/<name:import_id>/report")
@for_role(Role.READER)
def report_page(import_id: str) -> ResponseReturnValue:
    """Show Great Expectations' Data Docs of one import within the app."""
    one = find(import_id)
    check_kept(one, Kept.REPORT)
    if app_context().store.head(f"{report_prefix(one.id)}docs/index.html") is None:
        raise Problem("no_report", f"This import has no report; it is {one.state}.")
    return render_template("report.html", one=one)


@pages.post("/imports/<name:import_id>/cancel")
@for_role(Role.UPLOADER)
def cancel_from_page(import_id: str) -> ResponseReturnValue:
    """Cancel an import and return to its page."""
    return redirect(url_for("pages.import_page", import_id=cancel(find(import_id)).id), 303)


@pages.post("/imports/<name:import_id>/pause")
@for_role(Role.UPLOADER)
def pause_from_page(import_id: str) -> ResponseReturnValue:
    """Pause an import and return to its page."""
    return redirect(url_for("pages.import_page", import_id=pause(find(import_id), wanted=True).id), 303)


@pages.post("/imports/<name:import_id>/resume")
@for_role(Role.UPLOADER)
def resume_from_page(import_id: str) -> ResponseReturnValue:
    """Resume a paused import and return to its page."""
    return redirect(url_for("pages.import_page", import_id=pause(find(import_id), wanted=False).id), 303)


@pages.post("/imports/<name:import_id>/retry")
@for_role(Role.UPLOADER)
def retry_from_page(import_id: str) -> ResponseReturnValue:
    """Import the failed records, or else the unprocessed ones, again and go to the new import's page."""
    return redirect(url_for("pages.import_page", import_id=retry(find(import_id), None).made.id), 303)


@pages.post("/imports/<name:import_id>/promote")
@for_role(Role.UPLOADER)
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


def _may(one: ImportRecord) -> dict[str, bool]:
    """Return which actions the signed-in key may take on an import in its present state."""
    asks, over = key_in_use().role.covers(Role.UPLOADER), one.state.is_final
    goes_on = asks and one.state in ACTIVE and not one.cancel_requested
    return {
        "cancel": asks and not over and not one.cancel_requested,
        "pause": goes_on and not one.pause_wanted,
        "resume": goes_on and one.pause_wanted,
        "promote": asks and one.state is State.VALIDATED,
        "retry": asks
        and over
        and one.state is not State.VALIDATED
        and bool(one.failed or (one.parts_done and one.unprocessed))
        and one.removed_at(needed_for(one, default_kind(one))) is None,
    }


@dataclass(frozen=True)
class Kind:
    """The findings of one code for the page: their number and the groups that are shown."""

    code: str
    count: int
    is_warning: bool
    hint: str | None  # the hint of most of them; the others show their own
    groups: list[dict[str, Any]]
    untold: int  # findings in groups that are not shown


def _kinds(one: ImportRecord) -> list[Kind]:
    """Return the findings by code, most frequent first."""
    if not one.findings_by_code or one.report_removed_at:
        return []
    items = stored_groups(app_context().store, one.id)["items"]
    found = []
    for code, count in sorted(one.findings_by_code.items(), key=lambda item: -item[1]):
        groups = [group for group in items if group["code"] == code][:GROUPS_SHOWN]
        is_warning = bool(groups) and all(group["severity"] == "warning" for group in groups)
        untold = count - sum(group["count"] for group in groups)
        found.append(Kind(code, count, is_warning, _common_hint(groups), groups, untold))
    return found


def _common_hint(groups: list[dict[str, Any]]) -> str | None:
    """Return the hint of more than half of the findings shown, if there is one."""
    hints = [finding["hint"] for group in groups for finding in group["first"]]
    hint, times = Counter(hints).most_common(1)[0] if hints else (None, 0)
    return hint if times * 2 > len(hints) else None


def _has_report(one: ImportRecord, reached: set[str]) -> bool:
    """Return whether a validation report is stored: it is written at the end of each validation."""
    validated = one.state is not State.VALIDATING and str(State.VALIDATING) in reached and not one.report_removed_at
    return validated and app_context().store.head(f"{report_prefix(one.id)}docs/index.html") is not None


@pages.get("/datasets/<name:dataset>/validations")
@for_role(Role.READER)
def validations_page(dataset: str) -> ResponseReturnValue:
    """Show the validation results of a dataset's files."""
    known = key_scope.dataset(dataset)
    runs = app_context().ledger.findings.validation_runs(known.name)
    return render_template(
        "validations.html", dataset=known, runs=runs, charts=trend_charts.charts(runs), codes=trend_charts.by_code(runs)
    )


@pages.get("/problems")
@for_anyone
def problems_page() -> ResponseReturnValue:
    """Show all problem types of the API, with advice."""
    return render_template("problems.html", kinds=PROBLEM_TYPES)
