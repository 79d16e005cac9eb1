"""Random requests, made of /openapi.json by schemathesis: every answer is one that the document describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.example_data import an_audit, populate
from web.api.openapi import operations
from web.app_context import AppContext

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 8


@pytest.mark.timeout(0)
def test_no_answer_is_undocumented(app: Any, key_for: Callable[[str], str], request: pytest.FixtureRequest) -> None:
    """Where there is nothing yet, by each role."""
    many, wrongs, tried = request.config.getoption("--many"), [], 0
    for role in Role:
        seen, wrong = _try_all(app, key_for(role), EXAMPLES * many)
        tried += len(seen)
        wrongs += [f"{role} {one}" for one in wrong]
    assert tried == 3 * _operations(app)
    assert not wrongs, "\n\n".join(wrongs)


@pytest.mark.thorough
@pytest.mark.timeout(0)
def test_no_answer_about_what_is_there_is_undocumented(
    app: Any, edges: AppContext, settings: Settings, key_for: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    """Where there is what the examples speak of: addresses name it, and the rest of a request is made up."""
    populate(edges, settings)
    an_audit(edges)
    described = app.test_client().get("/openapi.json").json
    there = {operation["operationId"]: _path_of(operation) for _, _, operation in operations(described)}
    there["definitions_get_definition"]["dataset"] = "places"  # that of its example is created by another request
    seen, wrongs = _try_all(app, key_for(Role.ADMIN), EXAMPLES * request.config.getoption("--many"), there)
    assert not wrongs, "\n\n".join(wrongs)
    never = {name for name, statuses in seen.items() if name.startswith("GET ") and not statuses & {200, 202}}
    assert {name for name in never if "/s3/" not in name and "webhooks" not in name} == set(), "these were only refused"


def _path_of(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the example of each parameter in the operation's path."""
    return {one["name"]: one["example"] for one in operation.get("parameters", ()) if one["in"] == "path"}


def _operations(app: Any) -> int:
    paths = schemathesis.openapi.from_wsgi("/openapi.json", app).raw_schema["paths"]
    return sum(len(item) for item in paths.values())


def _try_all(
    app: Any, key: str, examples: int, there: Mapping[str, dict[str, Any]] | None = None
) -> tuple[dict[str, set[int]], list[str]]:
    """The statuses that each operation answered with, and what was wrong. ``there``: what the path of an operation names."""
    seen: dict[str, set[int]] = {}
    wrongs: list[str] = []
    for result in schemathesis.openapi.from_wsgi("/openapi.json", app).get_all_operations():
        operation = result.ok()
        path = (there or {}).get(operation.definition.raw["operationId"], {})
        statuses = seen[operation.label] = set()
        try:
            _try(operation, key, examples, path, statuses)
        except BaseExceptionGroup as group:
            wrongs += [f"{operation.label}: {error}" for error in group.exceptions]
        except Exception as error:
            wrongs.append(f"{operation.label}: {error}")
    return seen, wrongs


def _try(operation: Any, key: str, examples: int, path: Mapping[str, Any], statuses: set[int]) -> None:
    @hypothesis_settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operation.as_strategy())
    def answers_as_described(case: Case) -> None:
        case.path_parameters = {**(case.path_parameters or {}), **path}
        response = case.call(headers={"Authorization": f"Bearer {key}"})
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    answers_as_described()
