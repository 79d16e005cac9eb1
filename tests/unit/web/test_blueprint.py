"""What a route may answer stands at the route."""

from __future__ import annotations

import pytest
from flask import Response

from web.api.blueprint import ApiBlueprint, Example, RouteDescription


def test_a_route_says_what_it_may_answer() -> None:
    api = ApiBlueprint("things", "/v1", "imports")

    @api.get("/things", problems=("busy",), files=("csv",), example=Example(query={"limit": 1}), summary="Things")
    def list_things() -> Response:
        return Response()

    @api.get("/things/", doc_ui=False)
    def redirect() -> Response:
        return Response()

    assert api.described == {"list_things": RouteDescription(("busy",), ("csv",), example=Example(query={"limit": 1}))}


@pytest.mark.parametrize("wrong", [{"problems": ("bussy",)}, {"files": ("docx",)}])
def test_an_unknown_code_or_form_is_refused_at_once(wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match=r"is called (bussy|docx)\."):
        ApiBlueprint("things", "/v1", "imports").get("/things", **wrong)
