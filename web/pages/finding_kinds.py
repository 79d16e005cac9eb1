"""The findings of a report by code, each with the groups that a page shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from web.app_context import app_context
from web.services.reports import Report
from web.services.stored_findings import stored_groups

GROUPS_SHOWN = 8
"""Groups of findings shown for each code; the files contain all findings."""


@dataclass(frozen=True)
class Kind:
    """The findings of one code for the page: their number and the groups that are shown."""

    code: str
    count: int
    is_warning: bool
    hint: str | None  # the hint of most of them; the others show their own
    groups: list[dict[str, Any]]
    untold: int  # findings in groups that are not shown


def kinds_of(report: Report) -> list[Kind]:
    """Return the findings by code, most frequent first."""
    by_code = report.one.findings_by_code
    if not by_code or report.removed:
        return []
    items = stored_groups(app_context().store, report.prefix)["items"]
    found = []
    for code, count in sorted(by_code.items(), key=lambda item: -item[1]):
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
