"""Bodies and forms as streams: nothing lost, nothing changed, nothing held; every fault raised before the end."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pieces import pieces
from web.http.problems import Problem
from web.http.request_body import CHUNK_BYTES, Form, chunks_of, content_digest

# --- bodies ---


def body(content: bytes, length: int | None = None, *, bytes_max: int = 10_000, sha256: bytes | None = None) -> bytes:
    return b"".join(chunks_of(io.BytesIO(content), content_length=length, bytes_max=bytes_max, sha256=sha256))


def test_a_whole_body() -> None:
    digest = hashlib.sha256(b"abc").digest()
    assert body(b"abc") == body(b"abc", 3) == body(b"abc", 3, sha256=digest) == b"abc"
    assert body(b"") == body(b"", 0) == b""
    assert body(b"abcdef", 3) == b"abc"  # what follows is another request's


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        (b"abc", {"length": 4}, "broken_upload"),
        (b"", {"length": 1}, "broken_upload"),
        (b"abc", {"length": 3, "sha256": bytes(32)}, "damaged_upload"),
        (b"abc", {"sha256": bytes(32)}, "damaged_upload"),
        (b"abc", {"bytes_max": 2}, "too_large"),
    ],
)
def test_a_body_that_is_not_what_it_says(content: bytes, options: dict[str, Any], code: str) -> None:
    with pytest.raises(Problem) as caught:
        body(content, **options)
    assert caught.value.code == code


@pytest.mark.parametrize("error", [OSError("reset"), TimeoutError("stalled"), ValueError("a damaged chunk")])
def test_a_body_that_breaks(error: Exception) -> None:
    class Breaking:
        def read(self, size: int, /) -> bytes:
            raise error

    with pytest.raises(Problem) as caught:
        [*chunks_of(Breaking(), content_length=None, bytes_max=100)]
    assert caught.value.code == "broken_upload"


def test_a_body_is_read_in_pieces() -> None:
    class Endless:
        asked: list[int] = []  # noqa: RUF012

        def read(self, size: int, /) -> bytes:
            self.asked.append(size)
            return bytes(size)

    with pytest.raises(Problem):
        for _ in chunks_of(Endless(), content_length=None, bytes_max=50 * CHUNK_BYTES):
            pass
    assert set(Endless.asked) == {CHUNK_BYTES}
    assert len(Endless.asked) == 51


def test_content_digest() -> None:
    digest = hashlib.sha256(b"x").digest()
    text = base64.b64encode(digest).decode()
    for header in (f"sha-256=:{text}:", f"SHA-256=:{text}:", f"sha-512=:AA==:, sha-256=:{text}:", f" sha-256 = :{text}: "):
        assert content_digest(header) == digest
    for header in (None, "", "sha-512=:AA==:", "md5=:AA==:", f"not-sha-256=:{text}:"):
        assert content_digest(header) is None
    for header in ("sha-256=::", "sha-256=:AAAA:", "sha-256=:%%%:", f"sha-256=:{text[:-2]}:"):
        with pytest.raises(Problem):
            content_digest(header)


# --- forms ---


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


END = b"--B--\r\n"


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--B", b"\r\n--", b"B", b"x", b"\0"]), max_size=30).map(b"".join),
    st.lists(st.integers(0, 300)),
    st.text(st.characters(codec="utf-8", exclude_characters='\r\n"\\'), min_size=1, max_size=10),
)
def test_a_form_gives_the_file_byte_by_byte(content: bytes, cuts: list[int], field: str) -> None:
    if b"\n--B" in content or b"\r--B" in content or content.startswith(b"--B"):
        return  # that would be the boundary itself
    whole = part("field", field.encode()) + part("file", content, "a.csv") + part("submit", b"go") + END
    form = Form(pieces(whole, cuts), "B")
    assert form.fields == {"field": field}
    assert form.filename == "a.csv"
    assert b"".join(form.file_chunks()) == content


@given(st.binary(max_size=500), st.lists(st.integers(0, 500)))
def test_nonsense_is_a_problem_and_no_crash(content: bytes, cuts: list[int]) -> None:
    with pytest.raises(Problem):
        [*Form(pieces(content, cuts), "B").file_chunks()]


@given(st.integers(0, 400), st.lists(st.integers(0, 400)))
def test_a_form_cut_off_anywhere_is_a_problem(length: int, cuts: list[int]) -> None:
    whole = part("field", b"x") + part("file", b"id\n" * 50, "a.csv") + END
    cut = whole[: min(length, len(whole) - len(END) + 2)]
    with pytest.raises(Problem) as caught:
        [*Form(pieces(cut, cuts), "B").file_chunks()]
    assert caught.value.code == "broken_upload"


def test_a_form_holds_little() -> None:
    """However long the file is: only chunks pass through."""
    chunk = b"y" * CHUNK_BYTES

    def sent() -> Iterator[bytes]:
        yield part("file", b"", "a.csv")[:-2]
        for _ in range(200):
            yield chunk
        yield b"\r\n" + END

    form = Form(sent(), "B")
    largest = count = 0
    for piece in form.file_chunks():
        largest, count = max(largest, len(piece), len(form._decoder.buffer)), count + len(piece)
    assert count == 200 * CHUNK_BYTES
    assert largest <= 2 * CHUNK_BYTES
