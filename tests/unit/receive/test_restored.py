"""The mark on a restored file is of one key."""

from __future__ import annotations

import pytest

from pipeline.receive.restored import mark, marked_id

ID, KEY = "5f1d4c52-7f0e-5d0b-9c39-3f8b6c0c7a11", "incoming/records/ä b.csv"


def test_a_mark_names_the_import() -> None:
    assert marked_id({"force": "true", **mark(ID, KEY)}, KEY) == ID


@pytest.mark.parametrize("metadata", [{}, {"restored": ""}, {"restored": ID}, {"restored": f"x {'0' * 32}"}])
def test_no_mark(metadata: dict[str, str]) -> None:
    assert marked_id(metadata, KEY) is None


def test_a_copy_under_another_key_is_a_new_file() -> None:
    assert marked_id(mark(ID, KEY), "incoming/records/copy.csv") is None
