"""Time the steps of a validation, in the child of the sandbox that does it: a function that another process can import."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from benchmarks import measure
from pipeline.contracts.options import Options
from pipeline.datasets.dataset import Dataset
from pipeline.prepare import parts
from pipeline.prepare.manifest import BatchSizes
from pipeline.report import report_files
from pipeline.sandbox import validate_file
from pipeline.validate import sql_checks, tree_overlay

STEPS: dict[str, tuple[ModuleType, str]] = {
    "read, type, count": (validate_file, "_stage"),
    "ask the warehouse": (tree_overlay, "ask_for"),
    "checks in SQL": (sql_checks, "look"),
    "Great Expectations": (sql_checks, "judge"),
    "report": (report_files, "write_all"),
    "order, cut, Parquet": (parts, "cut"),
}
"""The steps of a validation. The last one runs beside Great Expectations, where no check has found anything."""


def timed(folder: Path, dataset: Dataset, cutting: BatchSizes, ask: validate_file.Ask) -> dict[str, list[float]]:
    """Runs in the child: validate the file, and return what each step took."""
    found: dict[str, list[float]] = {}
    with ExitStack() as patched:
        for name, (module, function) in STEPS.items():
            patched.enter_context(patch.object(module, function, _noting(getattr(module, function), name, found)))
        with _noted("validation", found):
            validate_file.validate(folder, dataset, "spent.csv", "spent", cutting, Options(), ask)
    return found


def _noting(real: Callable[..., Any], name: str, found: dict[str, list[float]]) -> Callable[..., Any]:
    def noting(*args: Any, **options: Any) -> Any:
        with _noted(name, found):
            return real(*args, **options)

    return noting


@contextmanager
def _noted(name: str, found: dict[str, list[float]]) -> Iterator[None]:
    began, used = time.perf_counter(), measure.cpu_seconds()
    yield
    found[name] = [time.perf_counter() - began, measure.cpu_seconds() - used]
