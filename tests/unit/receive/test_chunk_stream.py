"""Chunks as a stream: nothing lost, nothing changed, as many bytes as asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.receive.chunk_stream import ChunkStream
from tests.support.pieces import pieces


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000)), st.lists(st.integers(1, 500), min_size=1))
def test_a_stream_gives_exactly_what_is_asked_until_its_end(content: bytes, cuts: list[int], sizes: list[int]) -> None:
    stream, read, at = ChunkStream(pieces(content, cuts)), b"", 0
    while got := stream.read(sizes[at % len(sizes)]):
        assert len(got) == min(sizes[at % len(sizes)], len(content) - len(read))
        read, at = read + got, at + 1
    assert read == content
    assert stream.read(10) == stream.read() == b""


def test_all_that_is_left() -> None:
    stream = ChunkStream(iter([b"ab", b"cd", b"ef"]))
    assert (stream.read(3), stream.read(), stream.read()) == (b"abc", b"def", b"")


def test_a_stream_tells_that_its_chunks_failed() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"ab"
        raise ValueError("cut off")

    stream = ChunkStream(chunks())
    assert (stream.read(2), stream.has_failed) == (b"ab", False)
    with pytest.raises(ValueError, match="cut off"):
        stream.read(2)
    assert stream.has_failed
