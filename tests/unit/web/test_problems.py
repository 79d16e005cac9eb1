"""Each class of errors is answered with a status of its own; a fault of the system is never answered as the caller's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from pipeline import errors
from pipeline.errors import BulkheadError
from pipeline.warehouse.query import QueryRefused, QueryStopped, ResultTooLarge
from web.http import problems
from web.http.problems import PROBLEM_TYPES

STATUS: list[tuple[type[BulkheadError], int]] = [
    (errors.InvalidRequest, 400),
    (QueryRefused, 400),
    (QueryStopped, 400),
    (ResultTooLarge, 400),
    (errors.NotFound, 404),
    (errors.UnknownDataset, 404),
    (errors.RecipientGone, 404),
    (errors.Conflict, 409),
    (errors.IllegalMove, 409),
    (errors.NotReady, 503),
    (errors.InvalidConfiguration, 503),
    (errors.InternalInconsistency, 500),
    (errors.DamagedPart, 500),
    (errors.SystemFault, 500),
    (errors.DataFault, 500),
    (errors.TransientError, 503),
    (errors.Unreachable, 503),
    (errors.NoSpace, 503),
]


def subclasses(kind: type[BulkheadError]) -> Iterator[type[BulkheadError]]:
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


@pytest.fixture
def app() -> Flask:
    """An app of which every address raises the error that it is called by."""
    app = Flask(__name__)
    problems.install(app)
    known = {kind.__name__: kind for kind, _ in STATUS}

    @app.get("/v1/<name>")
    def fail(name: str) -> str:
        raise known[name]("the secret reason")

    return app


@pytest.mark.parametrize(("kind", "status"), STATUS, ids=lambda one: getattr(one, "__name__", str(one)))
def test_each_class_has_its_status(app: Flask, kind: type[BulkheadError], status: int) -> None:
    answer = app.test_client().get(f"/v1/{kind.__name__}")
    assert (answer.status_code, answer.json["status"]) == (status, status)
    assert answer.json["code"] in PROBLEM_TYPES
    tells_why = issubclass(kind, errors.PermanentError) and status != 500
    assert ("the secret reason" in answer.text) is tells_why
    assert ("Retry-After" in answer.headers) is (status == 503)


def test_every_error_that_a_retry_cannot_help_has_a_status() -> None:
    ours = {
        kind for kind in subclasses(errors.PermanentError) if kind.__module__ in ("pipeline.errors", "pipeline.warehouse.query")
    }
    assert ours <= {kind for kind, _ in STATUS}


def test_an_error_that_is_none_of_ours_is_a_fault_of_the_system(app: Flask) -> None:
    answer = app.test_client().get("/v1/nothing")  # KeyError
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "nothing" not in answer.json["detail"]
