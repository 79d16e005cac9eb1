"""Where backups are kept: a folder, or a prefix in another bucket. A file appears under its name whole, or not at all."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.backup.bucket_place import BucketPlace
from pipeline.backup.written import Digesting, Written
from pipeline.errors import InvalidRequest, NoSpace, NotFound, is_no_space
from pipeline.settings import Settings
from pipeline.units import MIB

_PARTIAL = ".partial-"
_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


class Place(Protocol):
    """Files by name, with slashes between folders."""

    @property
    def shown(self) -> str:
        """The address as people write it."""

    def write(self, name: str, chunks: Iterable[bytes]) -> Written:
        """Store a file. If ``chunks`` raises, nothing is stored."""

    def add(self, name_of: Callable[[str], str], chunks: Iterable[bytes]) -> Written:
        """Store a file whose name depends on its SHA-256."""

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes. Raises NotFound."""

    def has(self, name: str, size_bytes: int) -> bool:
        """Return whether there is a file of this name and size."""

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the files in a folder and below it."""

    def delete(self, name: str) -> None:
        """Delete a file; no error if there is none."""

    def discard_partial(self) -> None:
        """Delete what killed backups were writing."""


@dataclass(frozen=True)
class Folder:
    """A folder on this machine, or one that is mounted here."""

    path: Path

    @property
    def shown(self) -> str:
        """The address as people write it."""
        return str(self.path)

    def write(self, name: str, chunks: Iterable[bytes]) -> Written:
        """Store a file, and have it on the disk before it appears."""
        return self.add(lambda _: name, chunks)

    def add(self, name_of: Callable[[str], str], chunks: Iterable[bytes]) -> Written:
        """Store a file whose name depends on its SHA-256."""
        with self._said():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial, digesting = self.path / f"{_PARTIAL}{uuid.uuid4().hex}", Digesting(chunks)
            try:
                with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.writelines(digesting)
                    file.flush()
                    os.fsync(file.fileno())
                whole = self.path / name_of(digesting.written.sha256)
                whole.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                partial.replace(whole)
                _sync(whole.parent)
            finally:
                partial.unlink(missing_ok=True)
        return digesting.written

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes. Raises NotFound."""
        try:
            with (self.path / name).open("rb") as file:
                while chunk := file.read(MIB):
                    yield chunk
        except FileNotFoundError as error:
            raise NotFound(f"There is no {name} in {self.shown}.") from error

    def has(self, name: str, size_bytes: int) -> bool:
        """Return whether there is a file of this name and size."""
        try:
            return (self.path / name).stat().st_size == size_bytes
        except FileNotFoundError:
            return False

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the files in a folder and below it."""
        for folder, _, files in os.walk(self.path / prefix):
            for name in files:
                yield str((Path(folder) / name).relative_to(self.path))

    def delete(self, name: str) -> None:
        """Delete a file, and its folder if that is empty then."""
        path = self.path / name
        path.unlink(missing_ok=True)
        if path.parent != self.path and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def discard_partial(self) -> None:
        """Delete what killed backups were writing."""
        for path in self.path.glob(f"{_PARTIAL}*"):
            path.unlink(missing_ok=True)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Say what is wrong with the disk, and where."""
        try:
            yield
        except OSError as error:
            if is_no_space(error):
                raise NoSpace(
                    f"The disk of {self.shown} is full. Free some space there, or back up to another place."
                ) from error
            raise InvalidRequest(f"The backup cannot be written to {self.shown}: {error.strerror or error}.") from error


def _sync(folder: Path) -> None:
    """Have a folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place_of(address: str, settings: Settings) -> Place:
    """Return the place at an address: a path, or s3://BUCKET/PREFIX at the S3 of the settings.

    Raises InvalidRequest if it is in the bucket that is to be backed up.
    """
    if not address.startswith("s3://"):
        return Folder(Path(address).absolute())
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InvalidRequest(f"{address} is not the address of a bucket. Write s3://BUCKET or s3://BUCKET/PREFIX.")
    if found["bucket"] == settings.bucket:
        raise InvalidRequest(
            f"{address} is in the bucket that is to be backed up, and would be lost with it. Name another bucket, or a folder."
        )
    return BucketPlace.of(settings, found["bucket"], found["prefix"] or "")
