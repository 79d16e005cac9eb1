"""The fixtures of the tests of loading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.loader import Loader


@pytest.fixture
def loader(database: str, tmp_path: Path) -> Iterator[Loader]:
    """Loads parts into this test's database."""
    one = Loader(database, tmp_path)
    yield one
    one.connection.close()
