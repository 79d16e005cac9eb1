"""One sample file a shape, tests/samples/shapes/, with what docs/files.md says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.shape_meta import KINDS
from tests.support.shapes import shaped

SAMPLES = Path(__file__).resolve().parents[3] / "samples" / "shapes"
PLACES = {
    "Europe": None,
    "Europe/France": "Europe",
    "Europe/France/Paris": "Europe/France",
    "Europe/France/Lyon": "Europe/France",
}
POSITIONS = {"1": None, "1.1": "1", "1.1.1": "1.1", "1.1.2": "1.1", "2": None, "2.1": "2"}
CODES = {"EU": None, "FR": "EU", "75": "FR", "AS": None}
SHAPES: dict[str, tuple[dict[str, Any], dict[str, str | None]]] = {
    "levels.csv": (
        {"kind": "levels", "columns": ["Region", "Country", "City"]},
        {**PLACES, "Asia": None, "Asia/Japan": "Asia"},
    ),
    "outline.csv": ({"kind": "outline", "column": "name"}, POSITIONS),
    "outline.txt": ({"kind": "outline", "column": "name", "text": True, "comment": "#"}, POSITIONS),
    "outline_groups.xlsx": ({"kind": "outline", "excel": "groups"}, POSITIONS),
    "outline_indent.xlsx": ({"kind": "outline", "excel": "indent", "column": "name"}, POSITIONS),
    "path.csv": (
        {"kind": "path", "column": "path", "separator": ">"},
        {
            one.replace("/", ">"): parent and parent.replace("/", ">")
            for one, parent in {**PLACES, "Asia": None, "Asia/Japan": "Asia"}.items()
        },
    ),
    "prefix.csv": (
        {"kind": "prefix", "column": "code", "lengths": [2, 3, 4]},
        {"31-33": None, "311": "31-33", "3111": "311", "321": "31-33", "44": None},
    ),
    "nested.json": ({"kind": "nested", "children": "items"}, CODES),
    "nested_set.csv": ({"kind": "nested_set", "left": "lft", "right": "rgt"}, CODES),
    "edges.zip": ({"kind": "edges", "file": "edges.csv", "id": "child", "parent": "parent"}, CODES),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_sample_becomes_this_tree(name: str) -> None:
    shape, tree = SHAPES[name]
    found = shaped((SAMPLES / name).read_bytes(), shape)
    assert found.parents == tree
    assert not found.errors


def test_every_kind_has_a_sample() -> None:
    assert {shape["kind"] for shape, _ in SHAPES.values()} == set(KINDS)
    assert sorted(path.name for path in SAMPLES.iterdir()) == sorted(SHAPES)
