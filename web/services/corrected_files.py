"""Find the import that an uploaded file corrects: one that the request names, or whose results it has by its name.

Such a file is read with the mapping and the options of that import, unless the request has its own. Both know of each other.
"""

from __future__ import annotations

from dataclasses import fields, replace

from pipeline.contracts.options import Options
from pipeline.contracts.result_columns import import_in_name
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from web.http.problems import Problem
from web.services import key_scope
from web.services.import_actions import again
from web.services.imports import find

_OWN = ("dry_run", "force", "patch")
"""Options that are never those of the earlier import."""


def as_retry(dataset: str, filename: str, given: Options, retry_of: str | None) -> tuple[Options, str | None]:
    """Return the options of an upload, and the import that it retries; None, and ``given``, if it retries none.

    ``retry_of``: what the request names. Raises Problem if that is no import of the dataset, or has not ended.
    """
    one = _named(dataset, retry_of) if retry_of else _of_results(dataset, filename)
    if one is None:
        return given, None
    is_results = import_in_name(filename) == one.id
    earlier = replace(again(one), without=one.options.without) if is_results else one.options
    default = Options()
    kept = {
        name: getattr(earlier, name)
        for name in (field.name for field in fields(Options))
        if name not in _OWN and getattr(given, name) == getattr(default, name)
    }
    return replace(given, **kept), one.id


def _named(dataset: str, retry_of: str) -> ImportRecord:
    one = find(retry_of)
    if one.dataset != dataset:
        raise Problem("invalid_parameter", f"retry_of: import {one.id} is one of {one.dataset}, not of {dataset}.")
    if not one.state.is_final and one.state is not State.VALIDATED:
        raise Problem("not_finished", f"The import is {one.state}. Retry it when it has ended.")
    return one


def _of_results(dataset: str, filename: str) -> ImportRecord | None:
    """Return the import whose results or findings a file of this name has, if there is such an import of the dataset."""
    named = import_in_name(filename)
    one = key_scope.import_of(named) if named else None
    return one if one is not None and one.dataset == dataset and one.state.is_final else None
