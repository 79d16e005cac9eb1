"""What a validation may need of memory: a small share if it can do with that, a larger one if it must."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import load_dataset
from pipeline.prepare import part_files, parts
from pipeline.prepare.manifest import MANIFEST, BatchSizes, Manifest
from pipeline.sandbox import validate_file
from pipeline.staging import database as staging
from pipeline.staging.database import MEMORY_BYTES, MOST_MEMORY_BYTES, StagingDatabase

RECORDS = load_dataset("records")


def validated(folder: Path, lines: list[str]) -> Any:
    (folder / validate_file.SOURCE).write_text("\n".join(["id,parentId,name", *lines, ""]))
    return validate_file.validate(folder, RECORDS, "a.csv", "r", BatchSizes("i"), Options(), lambda wanted: None)


def test_what_does_not_fit_into_a_small_share_of_memory_is_done_again_with_a_larger_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MEMORY_BYTES", 24 << 20)
    monkeypatch.setattr(staging, "MOST_MEMORY_BYTES", 1 << 30)
    limits: list[str] = []
    cut = parts.cut

    def noted(connection: duckdb.DuckDBPyConnection, *args: Any, **options: Any) -> Manifest:
        limits.extend(str(row[0]) for row in connection.execute("select current_setting('memory_limit')").fetchall())
        return cut(connection, *args, **options)

    monkeypatch.setattr(parts, "cut", noted)
    chance = random.Random(1)
    rows = [f"r{i},{f'r{i // 4}' if i else ''},{chance.randbytes(4000).hex()}" for i in range(4000)]
    counted = validated(tmp_path, rows)
    assert (counted.records, counted.errors) == (4000, 0)
    assert limits[-1] == "1.0 GiB"
    manifest = Manifest.from_json((tmp_path / validate_file.PARTS / MANIFEST).read_text())
    assert manifest.records == 4000


def test_wide_records_need_no_more_memory_than_a_piece_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """128 MiB of records of 512 kB, side by side among small ones, with 96 MiB for DuckDB and no second try."""
    monkeypatch.setattr(staging, "MEMORY_BYTES", 96 << 20)
    monkeypatch.setattr(staging, "is_out_of_memory", lambda error: False)
    monkeypatch.setattr(part_files, "SPOOL_BYTES", 4 << 20)
    narrow = [(f"n{i}", "n") for i in range(20_000)]
    wide = [(f"w{i}", chr(97 + i % 26) * (512 << 10)) for i in range(256)]
    with (tmp_path / validate_file.SOURCE).open("w") as file:
        for id_, name in [*narrow[:10_000], *wide, *narrow[10_000:]]:
            file.write(f'{{"id":"{id_}","parentId":null,"name":"{name}"}}\n')
    counted = validate_file.validate(
        tmp_path, RECORDS, "a", "r", BatchSizes("i", part_bytes=8 << 20), Options(), lambda wanted: None
    )
    assert (counted.records, counted.errors) == (20_256, 0)
    manifest = Manifest.from_json((tmp_path / validate_file.PARTS / MANIFEST).read_text())
    assert manifest.records == 20_256
    assert len(manifest.parts) > 8


def test_what_fits_not_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def too_much(folder: Path, memory_bytes: int) -> Any:
        asked.append(memory_bytes)
        raise duckdb.OutOfMemoryException("Out of Memory Error: none left")

    monkeypatch.setattr(StagingDatabase, "in_memory", too_much)
    with pytest.raises(duckdb.OutOfMemoryException):
        validated(tmp_path, ["1,,a"])
    assert asked == [MEMORY_BYTES, MOST_MEMORY_BYTES]


def test_another_error_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def broken(folder: Path, memory_bytes: int) -> Any:
        asked.append(memory_bytes)
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(StagingDatabase, "in_memory", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        validated(tmp_path, ["1,,a"])
    assert asked == [MEMORY_BYTES]
