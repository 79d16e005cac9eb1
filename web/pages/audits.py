"""The pages of a dataset's audits: all of them, and each with its counts, its findings and its report."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.contracts.audits import AuditState, AuditStep
from pipeline.datasets.dataset import Dataset
from pipeline.display import counted, duration_text, percent_text
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.ledger.audit_record import AuditRecord
from pipeline.units import audit_period
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem
from web.pages.finding_kinds import kinds_of
from web.pages.findings import ReportPage, show_findings, show_report
from web.pages.formatting import moment
from web.pages.records import record_url
from web.services import key_scope
from web.services.audits import cancel_audit, find_audit, start_audit
from web.services.reports import of_audit

AUDITS_SHOWN = 50

PHASES = ("Queue", "Read", "Check", "Store", "Done")
_AT_STEP = {"": 0, AuditStep.READING: 1, AuditStep.CHECKING: 2, AuditStep.STORING: 3}

pages = Blueprint("audit_pages", __name__)


@pages.get("/datasets/<name:dataset>/audits")
@for_role(Role.READER)
def audits_page(dataset: str) -> ResponseReturnValue:
    """Show the audits of a dataset, newest first, and a button to start one."""
    known, before = key_scope.dataset(dataset), request.args.get("before")
    found = key_scope.audits(known.name, before=find_audit(known.name, before).id if before else None, limit=AUDITS_SHOWN + 1)
    newest = found[0] if not before and found else None
    return render_template(
        "audits.html",
        dataset=known,
        audits=found[:AUDITS_SHOWN],
        more=len(found) > AUDITS_SHOWN,
        is_first=before is None,
        at_work=newest if newest and not newest.state.is_final else None,
        may_start=key_in_use().role.covers(Role.UPLOADER),
        has_table=known.name in with_tables(app_context().engine, [known.name]),
        every=_every(known),
    )


@pages.post("/datasets/<name:dataset>/audits")
@for_role(Role.UPLOADER)
@recorded_as(Action.AUDIT_STARTED, "dataset", "dataset")
def start_from_page(dataset: str) -> ResponseReturnValue:
    """Start an audit and go to its page; while one has not ended, go to that one's."""
    known = key_scope.dataset(dataset)
    try:
        audit_id = start_audit(known.name)[0].id
    except Problem as problem:
        if problem.code != "audit_at_work":
            raise
        audit_id = str(problem.more["audit_id"])
    return redirect(url_for("audit_pages.audit_page", dataset=known.name, audit_id=audit_id), 303)


@pages.get("/datasets/<name:dataset>/audits/<name:audit_id>")
@for_role(Role.READER)
def audit_page(dataset: str, audit_id: str) -> ResponseReturnValue:
    """Show one audit: its state, its counts, its rules, its findings."""
    one = find_audit(dataset, audit_id)
    shown = _report_page(one)
    return render_template(
        "audit.html",
        one=one,
        dataset=key_scope.dataset(one.dataset),
        name=_name(one),
        api=shown.api,
        here=shown.here,
        record_page=shown.record_page,
        verdict=_verdict(one),
        phases=_phases(one),
        took=duration_text((one.finished_at - one.started_at).total_seconds()) if one.finished_at and one.started_at else "",
        kinds=kinds_of(shown.report),
        removed=shown.report.removed,
        has_report=one.state is AuditState.SUCCEEDED and shown.report.has_page(),
        may_cancel=key_in_use().role.covers(Role.UPLOADER) and not one.state.is_final and one.cancel_requested_at is None,
    )


@pages.post("/datasets/<name:dataset>/audits/<name:audit_id>/cancel")
@for_role(Role.UPLOADER)
@recorded_as(Action.CANCEL, "audit", "audit_id")
def cancel_from_page(dataset: str, audit_id: str) -> ResponseReturnValue:
    """Cancel an audit and return to its page."""
    one = cancel_audit(find_audit(dataset, audit_id))
    return redirect(url_for("audit_pages.audit_page", dataset=one.dataset, audit_id=one.id), 303)


@pages.get("/datasets/<name:dataset>/audits/<name:audit_id>/findings")
@for_role(Role.READER)
def findings_page(dataset: str, audit_id: str) -> ResponseReturnValue:
    """Show a page of an audit's findings."""
    return show_findings(_report_page(find_audit(dataset, audit_id)))


@pages.get("/datasets/<name:dataset>/audits/<name:audit_id>/report")
@for_role(Role.READER)
def report_page(dataset: str, audit_id: str) -> ResponseReturnValue:
    """Show Great Expectations' Data Docs of an audit within the app."""
    return show_report(_report_page(find_audit(dataset, audit_id)))


def _report_page(one: AuditRecord) -> ReportPage:
    named: dict[str, Any] = {"dataset": one.dataset, "audit_id": one.id}
    above = [
        (url_for("record_pages.datasets_page"), "Records"),
        (url_for("record_pages.tree_page", dataset=one.dataset), one.dataset),
        (url_for("audit_pages.audits_page", dataset=one.dataset), "Audits"),
        (url_for("audit_pages.audit_page", **named), moment(one.created_at)),
    ]
    return ReportPage(
        report=of_audit(one),
        subject=f"audit of {one.dataset}",
        records=one.records,
        above=above,
        api=f"/v1/datasets/{one.dataset}/audits/{one.id}",
        here=url_for("audit_pages.findings_page", **named),
        record_page=lambda record_id: record_url(one.dataset, record_id),
    )


def _name(one: AuditRecord) -> str:
    return f"Audit of {moment(one.created_at)}"


def _verdict(one: AuditRecord) -> str:
    """Return what became of an audit, in one sentence."""
    if one.state is AuditState.QUEUED:
        return "It starts as soon as a worker is free."
    if one.state is AuditState.RUNNING:
        return "All loaded records are being checked."
    if one.state is AuditState.FAILED:
        return one.reason or "It could not be completed."
    if one.state is AuditState.CANCELED:
        return "Canceled. Nothing was stored."
    if not one.records:
        return "No records are loaded."
    if not one.findings_errors:
        return f"No errors in {counted(one.records, 'record')}."
    return f"{counted(one.invalid, 'record')} of {one.records:,} with errors ({percent_text(one.invalid_percent)})."


def _phases(one: AuditRecord) -> list[dict[str, str]]:
    """Return the phases of an audit, each with the status ``done``, ``now``, ``stopped`` or ``ahead``."""
    if one.state is AuditState.SUCCEEDED:
        return [{"name": name, "status": "done"} for name in PHASES]
    at = _AT_STEP.get(one.step, 0) if not one.state.is_final else (1 if one.started_at else 0)
    here = "stopped" if one.state.is_final else "now"
    return [{"name": name, "status": "done" if i < at else here if i == at else "ahead"} for i, name in enumerate(PHASES)]


def _every(dataset: Dataset) -> str:
    """Return how often the dataset is audited, in words; empty if it never is."""
    said = dataset.audit_every
    period = app_context().settings.audit_every if said is None else audit_period(said)
    return duration_text(period.total_seconds()) if period is not None else ""
