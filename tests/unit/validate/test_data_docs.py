"""A canary for upgrades of Great Expectations: our page overrides its private renderers, which an upgrade may rename."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations import UnexpectedRowsExpectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import get_renderer_impl
    from great_expectations.render import LegacyDiagnosticRendererType
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.renderer.renderer import Renderer
    from great_expectations.render.view import DefaultJinjaPageView

    from pipeline.validate.data_docs import OffendingRows, _Page

RENDERERS = {
    "_diagnostic_status_icon_renderer": LegacyDiagnosticRendererType.STATUS_ICON,
    "_diagnostic_observed_value_renderer": LegacyDiagnosticRendererType.OBSERVED_VALUE,
    "_diagnostic_unexpected_table_renderer": LegacyDiagnosticRendererType.UNEXPECTED_TABLE,
}


def result(*, success: bool, severity: str = "error", rows: int = 0) -> ExpectationValidationResult:
    configuration = ExpectationConfiguration(
        type=OffendingRows.expectation_type, kwargs={"unexpected_rows_query": "x"}, meta={"severity": severity}
    )
    details: dict[str, Any] = {"observed_value": rows, "details": {"unexpected_rows": [{"_row": n + 1} for n in range(rows)]}}
    return ExpectationValidationResult(success=success, expectation_config=configuration, result=details)


def shown(rendered: Any) -> str:
    """What a renderer gave, as text: a text, a content block, or a list of these."""
    if isinstance(rendered, list):
        return str([shown(one) for one in rendered])
    return rendered if isinstance(rendered, str) else str(rendered.to_json_dict())


@pytest.mark.parametrize("name", RENDERERS)
def test_great_expectations_still_has_the_renderers_that_we_override(name: str) -> None:
    assert name in vars(OffendingRows), "ours"
    theirs = inspect.getattr_static(UnexpectedRowsExpectation, name, None)
    assert isinstance(theirs, classmethod), f"Great Expectations has no {name} any more: see pipeline/validate/data_docs.py"
    taken = inspect.signature(getattr(UnexpectedRowsExpectation, name)).parameters
    assert {"configuration", "result"} <= taken.keys()


@pytest.mark.parametrize(("name", "kind"), RENDERERS.items(), ids=RENDERERS)
def test_great_expectations_finds_our_renderers_by_their_kind(name: str, kind: LegacyDiagnosticRendererType) -> None:
    registered = get_renderer_impl(OffendingRows.expectation_type, kind)
    assert registered is not None
    failing = result(success=False, rows=2)
    ours = getattr(OffendingRows, name)
    assert shown(registered[1](result=failing)) == shown(ours(result=failing))


def test_our_renderers_give_what_the_page_shows() -> None:
    assert OffendingRows._diagnostic_observed_value_renderer(result=result(success=False, rows=1)) == "1 row"
    (table,) = OffendingRows._diagnostic_unexpected_table_renderer(result=result(success=False, rows=2)) or []
    assert (table.header_row, table.table) == (["row"], [["1"], ["2"]])
    icons = [
        shown(OffendingRows._diagnostic_status_icon_renderer(result=result(success=False, severity=severity)))
        for severity in ("error", "warning")
    ]
    assert "fa-times" in icons[0] and "fa-exclamation-triangle" in icons[1]


@pytest.mark.parametrize("name", ["render_string_template", "render_styling", "render_content_block"])
def test_great_expectations_view_still_has_the_methods_that_we_override(name: str) -> None:
    assert name in vars(_Page)
    assert callable(getattr(DefaultJinjaPageView, name, None)), f"Great Expectations' page has no {name} any more"
    assert name == "render_content_block" or inspect.signature(getattr(_Page, name)).parameters.keys() <= (
        inspect.signature(getattr(DefaultJinjaPageView, name)).parameters.keys()
    )


def test_great_expectations_still_renders_pages_with_its_own_class() -> None:
    assert issubclass(ValidationResultsPageRenderer, Renderer)
    assert list(inspect.signature(ValidationResultsPageRenderer.render).parameters)[1] == "validation_results"


def test_a_configuration_that_is_kept_is_what_great_expectations_makes() -> None:
    one = OffendingRows(unexpected_rows_query="select 1", description="None.", meta={"severity": "error"})
    kept = one.configuration
    assert one.configuration is kept
    assert kept == UnexpectedRowsExpectation.configuration.fget(one)
    one.description = "No row."
    assert one.configuration.description == "No row." and kept.description == "None."
    assert one.copy(update={"description": "Nothing."}, deep=True).configuration.description == "Nothing."
    assert one.configuration.description == "No row."
