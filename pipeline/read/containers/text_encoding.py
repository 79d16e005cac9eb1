"""Decode the text of a file, strictly, and say where and why it cannot be decoded."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np

from pipeline.errors import Unreadable
from pipeline.option_texts import encoding_of
from pipeline.read.containers.likely_encodings import likely_encodings

BYTE_ORDER_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the other's
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF_8_NAMES = {"utf-8", "utf-8-sig", "ascii"}
_SAMPLE_BYTES = 1 << 15


def checked_encoding(asked: str | None) -> str | None:
    """Return the name of the encoding that an upload asks for, as Python spells it. Raises InvalidRequest."""
    if asked is None:
        return None
    name = encoding_of(asked.strip()).replace("_", "-")
    return "utf-8" if name in _UTF_8_NAMES else name


def asked_mark(head: bytes, encoding: str) -> tuple[str, bytes]:
    """Return the encoding that the upload says, and the byte order mark. Raises Unreadable if the mark says another one."""
    for mark, marked in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            if not marked.startswith(encoding):
                raise Unreadable(
                    f"The file begins with the byte order mark of {marked.upper()}, but the encoding asked for is {encoding}.",
                    code="invalid_encoding",
                    hint="Leave the option encoding out.",
                )
            return marked, mark
    return encoding, b""


def wrong_encoding(
    message: str,
    line: int | None = None,
    hint: str = "Save the file as UTF-8.",
    likely: tuple[tuple[str, str], ...] = (),
) -> Unreadable:
    """Return the error about a text that is not in the encoding that it should be in. ``likely``: ``Unreadable.encodings``."""
    error = Unreadable(message, code="invalid_encoding", hint=hint, line=line)
    error.encodings = likely
    return error


def decoded(chunks: Iterator[bytes], encoding: str, is_asked: bool = False) -> Iterator[bytes]:
    """Yield the text as UTF-8. Strict: overlong forms, surrogates and half characters are errors, with their line."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines = _LineCounter()
    pending = b""  # bytes of a character that the last chunk cut
    for chunk in chunks:
        if encoding == "utf-8" and not pending and chunk.isascii():
            lines.count(chunk)
            yield chunk
            continue
        try:
            text = decoder.decode(chunk)
            whole = pending + chunk
            pending = _pending(decoder)
            ready = whole[: len(whole) - len(pending)] if encoding == "utf-8" else text.encode()
        except UnicodeDecodeError as error:
            raise _bad_byte(pending + chunk, error, encoding, lines, is_asked) from error
        except UnicodeError as error:  # a lone surrogate, or a state that the codec does not allow
            raise wrong_encoding(f"The text from line {lines.number} on is not valid {encoding}.", lines.number) from error
        lines.count(ready)
        if ready:
            yield ready
    try:
        ready = b"" if encoding == "utf-8" else decoder.decode(b"", True).encode()
    except UnicodeError:
        pending = pending or b"?"
    if pending:
        raise wrong_encoding("The file ends in the middle of a character.", lines.number)
    if ready:
        yield ready


def _pending(decoder: codecs.IncrementalDecoder) -> bytes:
    """Return the bytes that a decoder has not used yet, if it tells."""
    try:
        kept = decoder.getstate()[0]
    except UnicodeError:
        return b""
    return kept if isinstance(kept, bytes) else b""


class _LineCounter:
    """Counts the lines of a text; in a file without any line feed, carriage returns are line ends."""

    def __init__(self) -> None:
        self.feeds = self.returns = 0

    def count(self, text: bytes) -> None:
        self.feeds += int(np.count_nonzero(np.frombuffer(text, np.uint8) == 10))  # bytes.count is five times slower here
        if not self.feeds:
            self.returns += text.count(b"\r")

    @property
    def number(self) -> int:
        """Return the number of the next line."""
        return 1 + (self.feeds or self.returns)


def _bad_byte(whole: bytes, error: UnicodeDecodeError, encoding: str, lines: _LineCounter, is_asked: bool) -> Unreadable:
    good = error.object[: error.start] if encoding != "utf-8" else whole[: error.start]
    lines.count(good if encoding == "utf-8" else good.decode(encoding, "replace").encode())
    if is_asked and encoding != "utf-8":
        wrong = error.object[error.start : error.end].hex(" ").upper()
        message = f"Line {lines.number} contains the bytes {wrong}, which are not {encoding}."
        return wrong_encoding(message, lines.number, "Say another encoding, or save the file as UTF-8.")
    if encoding != "utf-8":
        return wrong_encoding(f"Line {lines.number} is not valid {encoding.upper()}.", lines.number)
    around = whole[max(0, error.start - _SAMPLE_BYTES // 8) : error.start + _SAMPLE_BYTES]
    likely = likely_encodings(around)
    message = f"Line {lines.number} contains the byte 0x{whole[error.start]:02X}, which is not UTF-8"
    if not likely:
        return wrong_encoding(f"{message}.", lines.number)
    options = " or ".join(f"encoding={one.name}" for one in likely[:2])
    said = f"{message}. Its encoding is likely {', '.join(f'{one.title} {one.percent} %' for one in likely)}."
    named = tuple((one.name, one.title) for one in likely)
    return wrong_encoding(said, lines.number, f"Save the file as UTF-8, or say {options}.", named)
