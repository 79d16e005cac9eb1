"""The files of a backup: the list of objects, the index on disk, and the place in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters import postgres_programs
from pipeline.adapters.postgres_programs import _without_password
from pipeline.backup.index import Index
from pipeline.backup.manifest import LIST, Entry, entries_in, folder_of, list_text
from pipeline.backup.places import Folder
from pipeline.backup.written import digest
from pipeline.errors import InternalInconsistency, NotFound, NotReady

NAME = "20260131T020000Z"


def _entry(number: int) -> Entry:
    return Entry(f"results/{number}/ä.csv", number, "e", "2026-01-31T02:00:00+00:00", "0" * 64, "text/csv", {"a": "b"})


@pytest.mark.parametrize("count", [0, 1, 4_001])
def test_a_list_of_objects_reads_back(tmp_path: Path, count: int) -> None:
    place, entries = Folder(tmp_path), [_entry(number) for number in range(count)]
    place.write(folder_of(NAME) + LIST, list_text(entries))
    assert [*entries_in(place, NAME)] == entries


def test_a_cut_list_is_damaged(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    place.write(folder_of(NAME) + LIST, [b"".join(list_text(map(_entry, range(5_000))))[:-20]])
    with pytest.raises(InternalInconsistency, match="is damaged"):
        list(entries_in(place, NAME))


def test_a_file_whose_source_fails_is_not_there(tmp_path: Path) -> None:
    def failing():  # type: ignore[no-untyped-def]
        yield b"a"
        raise NotFound

    place = Folder(tmp_path)
    with pytest.raises(NotFound):
        place.write("a/b", failing())
    assert not [*place.names("")]


def test_a_folder_as_a_place(tmp_path: Path) -> None:
    place = Folder(tmp_path / "new")
    written = place.add(lambda sha256: f"objects/{sha256[:2]}/{sha256}", [b"ab", b"c"])
    assert written == digest([b"abc"])
    (name,) = place.names("objects/")
    assert b"".join(place.read(name)) == b"abc" and place.has(name, 3) and not place.has(name, 4)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700 and (place.path / name).stat().st_mode & 0o777 == 0o600
    place.delete(name)
    place.delete(name)
    assert not [*place.names("")] and not place.has(name, 3)
    with pytest.raises(NotFound, match="There is no"):
        next(place.read(name))


def test_an_index_answers(tmp_path: Path) -> None:
    with Index([("a", "1"), ("b", "2")]) as index:
        index.update([("a", "3")])
        assert (index.get("a"), index.get("c"), "b" in index, "c" in index) == ("3", None, True, False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p%40ss@h:1/d?sslmode=require", "postgresql://u@h:1/d?sslmode=require"),
        ("postgresql+psycopg://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_no_password_is_among_the_arguments(url: str, shown: str) -> None:
    assert _without_password(url) == shown


def test_the_oldest_program_that_fits_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "_installed", lambda name: ((18, "/b"), (16, "/a"), (17, "/c")))
    assert [postgres_programs.dump_version(server) for server in (15, 16, 17, 18)] == [16, 16, 17, 18]
    with pytest.raises(NotReady, match="pg_dump of PostgreSQL 19 or newer"):
        postgres_programs.dump_version(19)
