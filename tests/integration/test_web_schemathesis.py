"""Random requests, made of /openapi.json by schemathesis, by each role: every answer is one that the document describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.keys import Role

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
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    keys = {role: key_for(role) for role in Role}
    many, wrongs, tried = request.config.getoption("--many"), [], 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for role, key in keys.items():
            tried += 1
            try:
                _try(operation, key, EXAMPLES * many)
            except BaseExceptionGroup as group:
                wrongs += [f"{role} {operation.label}: {error}" for error in group.exceptions]
            except Exception as error:
                wrongs.append(f"{role} {operation.label}: {error}")
    assert tried == 3 * sum(len(item) for item in schema.raw_schema["paths"].values())
    assert not wrongs, "\n\n".join(wrongs)


def _try(operation: Any, key: str, examples: int) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operation.as_strategy())
    def answers_as_described(case: Case) -> None:
        response = case.call(headers={"Authorization": f"Bearer {key}"})
        case.validate_response(response, checks=CHECKS)

    answers_as_described()
