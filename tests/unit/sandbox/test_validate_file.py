"""Cutting while Great Expectations speaks: what comes of it is as if the one had waited for the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.options import OnError, Options
from pipeline.datasets.dataset import load_dataset
from pipeline.prepare import parts as batch
from pipeline.prepare.manifest import MANIFEST, BatchSizes, Manifest
from pipeline.report.findings import Counted
from pipeline.sandbox import validate_file
from pipeline.validate import expectations

Validate = Callable[..., Counted]

RECORDS = load_dataset("records")
STRICT = replace(
    RECORDS,
    suite={
        **RECORDS.suite,
        "expectations": [
            {
                "type": "expect_column_values_to_not_match_regex",
                "kwargs": {"column": "name", "regex": "^bad"},
                "meta": {"message": "The name is bad."},
            }
        ],
    },
)
GOOD = "id,parentId,name\n1,,a\n2,1,b\n3,1,c\n"
BAD = GOOD + "4,2,bad\n5,4,below\n"


@pytest.fixture
def validate(tmp_path: Path) -> Validate:
    """Validate a text, and cut it if it is accepted."""

    def run(text: str, options: Options | None = None) -> Counted:
        (tmp_path / validate_file.SOURCE).write_text(text)
        return validate_file.validate(
            tmp_path, STRICT, "a.csv", "run", BatchSizes("i"), options or Options(), lambda wanted: None
        )

    return run


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In which thread each cutting went on."""
    threads: list[str] = []
    cut = batch.cut

    def noted(*args: Any, **options: Any) -> Manifest:
        threads.append(threading.current_thread().name)
        return cut(*args, **options)

    monkeypatch.setattr(batch, "cut", noted)
    return threads


def parts(folder: Path) -> Manifest | None:
    manifest = folder / validate_file.PARTS / MANIFEST
    return Manifest.from_json(manifest.read_text()) if manifest.exists() else None


def test_what_no_check_objects_to_is_cut_at_once_and_only_once(validate: Validate, cuts: list[str], tmp_path: Path) -> None:
    assert validate(GOOD).verdict().accepted
    assert len(cuts) == 1
    assert cuts[0] != threading.current_thread().name
    found = parts(tmp_path)
    assert found is not None
    assert found.records == 3


def test_if_an_expectation_objects_the_parts_are_dropped(validate: Validate, cuts: list[str], tmp_path: Path) -> None:
    assert not validate(BAD).verdict().accepted
    assert len(cuts) == 1
    assert not (tmp_path / validate_file.PARTS).exists()


def test_parts_are_cut_again_without_quarantined_records(validate: Validate, cuts: list[str], tmp_path: Path) -> None:
    counted = validate(BAD, Options(on_error=OnError.QUARANTINE))
    assert (counted.verdict().accepted, counted.quarantined) == (True, 2)
    assert len(cuts) == 2
    found = parts(tmp_path)
    assert found is not None
    assert found.records == 3


def test_what_a_check_objects_to_is_not_cut_before_the_verdict(validate: Validate, cuts: list[str], tmp_path: Path) -> None:
    assert not validate(GOOD + "1,,twice\n").verdict().accepted
    assert cuts == []
    assert not (tmp_path / validate_file.PARTS).exists()


def test_without_a_verdict_there_is_none_however_well_it_was_cut(
    validate: Validate, cuts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("no verdict")

    monkeypatch.setattr(expectations, "judge", broken)
    with pytest.raises(RuntimeError, match="no verdict"):
        validate(GOOD)
    assert len(cuts) == 1


def test_parts_that_could_not_be_cut_are_not_passed_over(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> Manifest:
        raise RuntimeError("no knife")

    monkeypatch.setattr(batch, "cut", broken)
    with pytest.raises(RuntimeError, match="no knife"):
        validate(GOOD)
