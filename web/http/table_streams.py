"""Tables on their way out, batch by batch: Parquet read from S3 by ranges, and Arrow's stream of whatever batches there are.

Neither the size of a file nor the number of its rows matters to memory. Arrow is loaded when the first table is asked for: most
processes never give one.
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


def opened(store: Store, key: str) -> pq.ParquetFile:
    """A Parquet file in S3. Raises NotThere."""
    import pyarrow.parquet as pq

    stored = store.head(key)
    if stored is None:
        raise NotThere(f"There is no object {key}.")
    return pq.ParquetFile(io.BufferedReader(_Ranges(store, stored), RANGE_BYTES))


def arrow_stream(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Arrow's IPC stream, as ``pyarrow.ipc.open_stream`` and its likes read it."""
    import pyarrow as pa

    sink = Sink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def as_arrow(file: pq.ParquetFile) -> Iterator[bytes]:
    """A Parquet file as Arrow's IPC stream."""
    return arrow_stream(file.schema_arrow, file.iter_batches(batch_size=BATCH_ROWS))


class Sink(io.RawIOBase):
    """A file that is handed on while it is being written; it knows how long it is without keeping it."""

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
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _Ranges(io.RawIOBase):
    """An object in S3 as a file that can be read from anywhere in it, by ranges."""

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
