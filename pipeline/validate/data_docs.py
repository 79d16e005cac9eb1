"""Data Docs: Great Expectations' verdicts as a page, made by its own renderers, in a template of ours.

Its own template loads styles and scripts from other servers, shows almost nothing without them, and puts values from the file
into the page unescaped. Ours is one page with a stylesheet beside it: no other server, no script, no inline style, and every
value is escaped. The renderers that are overridden here are private: tests/unit/validate/test_data_docs.py fails if an upgrade
of Great Expectations renames or no longer calls them.
"""

from __future__ import annotations

import copy
import functools
import html
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.expectations import UnexpectedRowsExpectation
from great_expectations.render import (
    LegacyDiagnosticRendererType,
    RenderedDocumentContent,
    RenderedStringTemplateContent,
    RenderedTableContent,
)
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.renderer.renderer import renderer
from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader, pass_context

from pipeline.validate.kept_configuration import keeping_configuration

TEMPLATES = Path(__file__).parent
STYLESHEET = "docs.css"
ROWS_SHOWN = 20
CELL_LENGTH = 200
LISTED = 200

_QUERY = "unexpected_index_query"  # of the suite's values, and useless if it is cut
_THE_FILE = "Table-Level Expectations"
_OUR_WORDS = {"_row": "row", "Observed Value": "Found"}
_SAID_OTHERWISE = {"cycle", "length"}  # the path of a cycle shows both


class OffendingRows(keeping_configuration(UnexpectedRowsExpectation)):  # type: ignore[misc]
    """A query that must return no row; the page shows the first rows that it returned."""

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.STATUS_ICON)  # type: ignore[untyped-decorator]
    def _diagnostic_status_icon_renderer(cls, configuration: Any = None, result: Any = None, **_: Any) -> Any:
        if result.success or not _is_warning(result):
            return super()._diagnostic_status_icon_renderer(result=result)
        icon = {"classes": ["fas", "fa-exclamation-triangle", "text-warning"], "tag": "i"}
        template = {"template": "$icon", "params": {"icon": ""}, "styling": {"params": {"icon": icon}}}
        return RenderedStringTemplateContent(content_block_type="string_template", string_template=template)

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)  # type: ignore[untyped-decorator]
    def _diagnostic_observed_value_renderer(cls, configuration: Any = None, result: Any = None, **_: Any) -> str:
        count = int(result.result.get("observed_value", 0))
        return f"{count:,} {'row' if count == 1 else 'rows'}"

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE)  # type: ignore[untyped-decorator]
    def _diagnostic_unexpected_table_renderer(
        cls, configuration: Any = None, result: Any = None, **_: Any
    ) -> list[RenderedTableContent] | None:
        rows = (result.result.get("details") or {}).get("unexpected_rows") or []
        if not rows:
            return None
        said = [name for name in rows[0] if any(row[name] is not None for row in rows[:ROWS_SHOWN])]
        names = [name for name in said if name not in _SAID_OTHERWISE]
        table = [[_shown(row[name]) for name in names] for row in rows[:ROWS_SHOWN]]
        headings = ["row" if name == "_row" else name for name in names]
        return [RenderedTableContent(content_block_type="table", header_row=headings, table=table)]


def _shown(value: object) -> str:
    """Return a cell's text, cut to CELL_LENGTH."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = "" if value is None else str(value)
    return text if len(text) <= CELL_LENGTH else f"{text[:CELL_LENGTH]}…"


class _Page(DefaultJinjaPageView):  # type: ignore[misc]
    """Great Expectations' view in our template, with all plain text escaped."""

    _template = "docs.j2"

    def __init__(self) -> None:
        super().__init__()
        self.env.loader = ChoiceLoader([FileSystemLoader(TEMPLATES), self.env.loader])
        self.env.filters["render_content_block"] = self.render_content_block

    def render_string_template(self, template: Any) -> Any:
        """Render as Great Expectations does, but not its share "of total rows", which leaves out rows without a value."""
        if isinstance(template, dict) and "$element_count total rows" in template.get("template", ""):
            template["template"] = "Unexpected values: $unexpected_count of $element_count rows."
        return super().render_string_template(template)

    def render_styling(self, styling: Mapping[str, Any]) -> str:
        """Render classes and attributes, except inline styles and event handlers."""
        given = styling.get("attributes") or {}
        attributes = {name: value for name, value in given.items() if name != "style" and not name.startswith("on")}
        return str(super().render_styling({"classes": styling.get("classes"), "attributes": attributes}))

    @pass_context
    def render_content_block(self, context: Any, content_block: Any, *args: Any, **kwargs: Any) -> Any:
        """Render Great Expectations' own blocks as it does; text, numbers and other values become escaped text."""
        if content_block is None or _is_block(content_block):
            return super().render_content_block(context, content_block, *args, **kwargs)
        if isinstance(content_block, list):
            blocks = [one if _is_block(one) else html.escape(_shown(one)) for one in content_block]
            return super().render_content_block(context, blocks, *args, **kwargs)
        return html.escape(_OUR_WORDS.get(content_block, _shown(content_block)))


@functools.cache
def _page() -> _Page:
    """Return one view for all pages of a process: compiling the templates takes longer than filling them."""
    return _Page()


def _is_block(content: object) -> bool:
    return isinstance(content, dict) and "content_block_type" in content


def write_page(
    result: ExpectationSuiteValidationResult, folder: Path, *, dataset: str, title: str, run_name: str, records: int
) -> None:
    """Write ``folder``/index.html and its stylesheet: whether the file is accepted, and every verdict with offending rows.

    If ``run_name`` is an import's id, the page links to the import and its dataset.
    """
    failing = [one for one in result.results if not one.success]
    errors = sum(1 for one in failing if not _is_warning(one))
    page = _page().render(
        _rendered(result),
        title=title,
        dataset=dataset,
        run_name=run_name,
        is_import=_is_id(run_name),
        records=records,
        evaluated=len(result.results),
        errors=errors,
        warnings=len(failing) - errors,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page, encoding="utf-8")
    shutil.copyfile(TEMPLATES / STYLESHEET, folder / STYLESHEET)


_COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent")


def without_values(result: ExpectationSuiteValidationResult) -> ExpectationSuiteValidationResult:
    """Return the verdicts with their counts only: without any value of a record, and without what was observed of a column."""
    shown = copy.copy(result)
    shown.results = [_counts_only(one) for one in result.results]
    return shown


def _counts_only(result: ExpectationValidationResult) -> ExpectationValidationResult:
    shown = copy.deepcopy(result)
    kept = (*_COUNTS, *(("observed_value",) if "unexpected_rows_query" in shown.expectation_config.kwargs else ()))
    shown.result = {name: value for name, value in shown.result.items() if name in kept}
    return shown


def bounded(verdicts: dict[str, Any]) -> dict[str, Any]:
    """Return the verdicts as JSON with values of the file cut to CELL_LENGTH and lists of them to LISTED: some MB at most.

    Great Expectations lists up to 200 values as long as they are in the file. What the suite says stays as it is.
    """
    return {**verdicts, "results": [{**one, "result": _cut(one["result"])} for one in verdicts["results"]]}


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inner if name == _QUERY else _cut(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner) for inner in value[:LISTED]]
    return _shown(value) if isinstance(value, str) else value


def _is_id(run_name: str) -> bool:
    try:
        uuid.UUID(run_name)
    except ValueError:
        return False
    return True


def _is_warning(result: ExpectationValidationResult) -> bool:
    """Return whether the file is accepted even though this expectation fails."""
    return bool(result.expectation_config.meta["severity"] == "warning")


def _rendered(result: ExpectationSuiteValidationResult) -> RenderedDocumentContent:
    """Return the page's content by Great Expectations' renderers, without the section for database owners."""
    shown = copy.copy(result)
    shown.results = [_for_readers(one) for one in result.results]
    content = ValidationResultsPageRenderer().render(shown)
    content.sections = [one for one in content.sections if one.section_name != "Overview"]
    for section in content.sections:
        heading = section.content_blocks[0].header.string_template
        heading["tag"] = "h2"  # theirs is h5, below an h1
        if section.section_name == _THE_FILE:
            heading["template"] = "The file as a whole"
    return content


def _for_readers(result: ExpectationValidationResult) -> ExpectationValidationResult:
    shown = copy.deepcopy(result)
    shown.result.pop(_QUERY, None)
    if shown.expectation_config.description:  # it goes into a template, in which $ and < have a meaning
        shown.expectation_config.description = html.escape(shown.expectation_config.description).replace("$", "$$")
    return shown
