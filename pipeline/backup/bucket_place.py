"""Backups under a prefix of another bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, cast

from pipeline.adapters.s3 import NotThere, Readable, Store
from pipeline.backup.written import Digesting, Written
from pipeline.errors import NotFound
from pipeline.receive.chunk_stream import ChunkStream
from pipeline.settings import Settings
from pipeline.units import MIB

_IN_MEMORY_BYTES = 16 * MIB
"""A larger file is kept on this machine's disk until its SHA-256, and so its name, is known."""


@dataclass(frozen=True)
class BucketPlace:
    """A prefix in a bucket; ``prefix`` is empty or ends with a slash."""

    store: Store
    prefix: str

    @classmethod
    def of(cls, settings: Settings, bucket: str, prefix: str) -> BucketPlace:
        """Return the place in another bucket of the S3 that the settings name."""
        return cls(
            Store.of(settings.model_copy(update={"bucket": bucket})), f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        )

    @property
    def shown(self) -> str:
        """The address as people write it."""
        return f"s3://{self.store.bucket}/{self.prefix}".rstrip("/")

    def write(self, name: str, chunks: Iterable[bytes]) -> Written:
        """Store a file. If ``chunks`` raises, nothing is stored."""
        return self._put(name, ChunkStream(iter(chunks)))

    def add(self, name_of: Callable[[str], str], chunks: Iterable[bytes]) -> Written:
        """Store a file whose name depends on its SHA-256."""
        digesting = Digesting(chunks)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
            file.writelines(digesting)
            file.seek(0)
            return self._put(name_of(digesting.written.sha256), cast("IO[bytes]", file))

    def _put(self, name: str, stream: Readable) -> Written:
        stored = self.store.put_stream(self.prefix + name, stream)
        return Written(stored.size_bytes, stored.sha256)

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes. Raises NotFound."""
        try:
            stored = self.store.head(self.prefix + name)
            if stored is None:
                raise NotThere
            yield from self.store.ranges(stored)
        except NotThere as error:
            raise NotFound(f"There is no {name} in {self.shown}.") from error

    def has(self, name: str, size_bytes: int) -> bool:
        """Return whether there is a file of this name and size."""
        stored = self.store.head(self.prefix + name)
        return stored is not None and stored.size_bytes == size_bytes

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the files in a folder and below it."""
        for stored in self.store.list(self.prefix + prefix):
            yield stored.key.removeprefix(self.prefix)

    def delete(self, name: str) -> None:
        """Delete a file; no error if there is none."""
        self.store.delete(self.prefix + name)

    def discard_partial(self) -> None:
        """Nothing to do: S3 shows no incomplete object."""
