"""What retention does with folders; what it keeps and removes, and when: tests/integration/orchestration/test_retention.py."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.expired_folders import remove_tree


@pytest.mark.parametrize("attempt", range(20))
def test_two_may_remove_one_folder_at_once(tmp_path: Path, attempt: int) -> None:
    folder, start = tmp_path / str(attempt), threading.Barrier(2)
    (folder / "within").mkdir(parents=True)
    for n in range(100):
        (folder / str(n)).touch()
        (folder / "within" / str(n)).touch()

    def remove(_: int) -> None:
        start.wait()
        remove_tree(folder)

    with ThreadPoolExecutor(2) as both:
        list(both.map(remove, range(2)))
    assert not folder.exists()


def test_what_cannot_be_removed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        remove_tree(tmp_path / "file")
