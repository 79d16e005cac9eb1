"""Stream tables batch by batch: read Parquet from S3 by ranges, write Arrow's IPC stream.

Memory does not grow with the size of a file or the number of its rows. Arrow is imported at the first table: most processes
never need it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pipeline.adapters.s3 import NotThere, Store, Stored

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 2000
RANGE_BYTES = 4 << 20


def open_parquet(store: Store, key: str) -> pq.ParquetFile:
    """Open a Parquet file in S3. Raises NotThere."""
    import pyarrow.parquet as pq

    stored = store.head(key)
    if stored is None:
        raise NotThere(f"There is no object {key}.")
    return pq.ParquetFile(io.BufferedReader(_Ranges(store, stored), RANGE_BYTES))


def arrow_stream(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Yield Arrow's IPC stream, as ``pyarrow.ipc.open_stream`` reads it."""
    import pyarrow as pa

    sink = Sink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def as_arrow(file: pq.ParquetFile) -> Iterator[bytes]:
    """Yield a Parquet file as Arrow's IPC stream."""
    return arrow_stream(file.schema_arrow, file.iter_batches(batch_size=BATCH_ROWS))


class Sink(io.RawIOBase):
    """A file object whose content is taken away while it is written; it keeps only its position."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._at += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _Ranges(io.RawIOBase):
    """An object in S3 as a seekable file, read by ranges."""

    def __init__(self, store: Store, stored: Stored) -> None:
        super().__init__()
        self._store = store
        self._stored = stored
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stored.size_bytes}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._stored.size_bytes - self._at)
        if size <= 0:
            return 0
        data = self._store.get_range(self._stored.key, self._at, self._at + size - 1, self._stored.etag)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
