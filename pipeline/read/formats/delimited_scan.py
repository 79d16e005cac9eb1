"""Find where the records of a delimited text end by counting quotes, as a check on the parser.

By RFC 4180 a line feed ends a record if the number of quotes before it is even; numpy counts them at memory speed. A text for
which this and the parser disagree is irregular, and is read record by record instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

TAB, LINE_FEED, CARRIAGE_RETURN, CONTROL_Z, SPACE, DELETE = 9, 10, 13, 26, 32, 127

_MARKED_LINE = b"\n\xef\xbb\xbf"


@dataclass
class Scan:
    """Counts of a text's records, as it is fed with chunks. ``anchors`` are (record, line) pairs, both from 0,
    wherever the distance between the two changes."""

    delimiter: str = ","
    quote: str | None = '"'  # None: quotes are data
    records: int = 0
    lines: int = 0
    delimiters: int = 0  # outside quotes
    quotes: int = 0
    returned: int = 0  # records that end with carriage return and line feed
    loose_returns: bool = False  # a carriage return that is not before a line feed
    loose_quotes: bool = False  # a quote inside a value, or a space around one in quotes, which DuckDB would pass over
    blank: bool = False  # a record without any character
    inner_marks: bool = False  # a byte order mark begins a line after the first
    marked_end: bool = False  # Ctrl-Z, with which DOS ended a text
    longest_bytes: int = 0
    has_nul: bool = False
    is_plain: bool = True  # printable ASCII and line ends, nothing else
    anchors: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    _since_end: int = 0  # bytes after the last record's end
    _last: int = LINE_FEED  # the byte before this chunk
    _tail: bytes = b""  # the bytes before it

    def feed(self, chunk: bytes) -> None:
        """Scan the next piece of the text, which must not be empty."""
        bytes_ = np.frombuffer(chunk, dtype=np.uint8)
        feeds = np.flatnonzero(bytes_ == LINE_FEED)
        quote = ord(self.quote) if self.quote else -1
        if self._last == quote and self.quotes % 2 == 0 and not self._beside_quotes[bytes_[0]]:
            self.loose_quotes = True
        if quote < 0 or (self.quotes % 2 == 0 and quote not in chunk):
            self.delimiters += _count(bytes_ == ord(self.delimiter))
            ends = feeds
            self._anchor(np.arange(min(1, len(feeds))))  # within the chunk the distance stays
        else:
            quotes = np.flatnonzero(bytes_ == quote)
            outside = self._outside(feeds, quotes)
            delimiters = np.flatnonzero(bytes_ == ord(self.delimiter))
            self.delimiters += _count(self._outside(delimiters, quotes))
            ends = feeds[outside]
            self._anchor(np.flatnonzero(outside))
            self._look_at_quotes(bytes_, quotes)
            self.quotes += len(quotes)
        if CARRIAGE_RETURN in chunk or self._last == CARRIAGE_RETURN:
            self._look_at_returns(bytes_, ends)
        self._measure(ends, len(bytes_))
        self._look_at_characters(chunk, bytes_, len(feeds))
        self.records += len(ends)
        self.lines += len(feeds)
        self._last = int(bytes_[-1])

    def finish(self) -> None:
        """End the scan; what follows the last line feed is a record too."""
        if self._since_end:
            self.longest_bytes = max(self.longest_bytes, self._since_end)
            self.records += 1
            self.marked_end = self._last == CONTROL_Z
            self.loose_returns = self.loose_returns or self._last == CARRIAGE_RETURN

    @property
    def is_regular(self) -> bool:
        """Return whether nothing in the text is read differently by a strict parser."""
        same_ends = self.returned in (0, self.records, self.records - 1)
        return self.quotes % 2 == 0 and same_ends and not self._is_loose

    @property
    def has_long_records(self) -> bool:
        """Return whether a record goes over several lines."""
        return self.lines > self.records - bool(self._since_end)

    @property
    def _is_loose(self) -> bool:
        return self.loose_returns or self.loose_quotes or self.blank or self.marked_end or self.inner_marks

    @property
    def line_end(self) -> str:
        """Return how records end."""
        return "\r\n" if self.returned else "\n"

    def has_width(self, columns: int) -> bool:
        """Return whether records have ``columns`` fields on average. A parser may ignore an empty one at the end."""
        return self.delimiters == self.records * (columns - 1)

    def _outside(self, places: np.ndarray, quotes: np.ndarray) -> np.ndarray:
        even: np.ndarray = (self.quotes + np.searchsorted(quotes, places)) % 2 == 0
        return even

    @cached_property
    def _beside_quotes(self) -> np.ndarray:
        """Return for each byte whether it may be next to a value in quotes: what ends a value, or a doubled quote."""
        table = np.zeros(256, dtype=bool)
        table[[ord(self.delimiter), LINE_FEED, CARRIAGE_RETURN, ord(self.quote or '"')]] = True
        return table

    def _look_at_quotes(self, bytes_: np.ndarray, quotes: np.ndarray) -> None:
        opening, closing = quotes[self.quotes % 2 :: 2], quotes[(self.quotes + 1) % 2 :: 2]
        before = np.where(opening > 0, bytes_[opening - 1], self._last)
        after = bytes_[closing[closing < len(bytes_) - 1] + 1]
        tidy = self._beside_quotes[before].all() and self._beside_quotes[after].all()
        self.loose_quotes = self.loose_quotes or not tidy

    def _look_at_characters(self, chunk: bytes, bytes_: np.ndarray, feeds: int) -> None:
        self.has_nul = self.has_nul or 0 in chunk
        if not self.inner_marks and not chunk.isascii():
            self.inner_marks = _MARKED_LINE in chunk or _MARKED_LINE in self._tail + chunk[:3]
        self._tail = chunk[-3:]
        if self.is_plain:
            meant = feeds + _count(bytes_ == CARRIAGE_RETURN) + (_count(bytes_ == TAB) if self.delimiter == "\t" else 0)
            self.is_plain = chunk.isascii() and DELETE not in chunk and _count(bytes_ < SPACE) == meant

    def _look_at_returns(self, bytes_: np.ndarray, ends: np.ndarray) -> None:
        previous = np.where(ends > 0, bytes_[ends - 1], self._last)
        self.returned += _count(previous == CARRIAGE_RETURN)
        returns = np.flatnonzero(bytes_ == CARRIAGE_RETURN)
        followed = bytes_[np.minimum(returns + 1, len(bytes_) - 1)] == LINE_FEED
        at_the_end = returns == len(bytes_) - 1
        across = self._last == CARRIAGE_RETURN and bytes_[0] != LINE_FEED
        self.loose_returns = self.loose_returns or bool(np.any(~followed & ~at_the_end)) or across

    def _measure(self, ends: np.ndarray, size: int) -> None:
        """Measure the records, line ends included; one of 1 (or 2, with a carriage return) byte is blank."""
        if not len(ends):
            self._since_end += size
            return
        lengths = np.diff(ends, prepend=-1 - self._since_end)
        self.longest_bytes = max(self.longest_bytes, int(lengths.max()))
        shortest = 2 if self.returned else 1
        self.blank = self.blank or bool(lengths.min() <= shortest)
        self._since_end = size - 1 - int(ends[-1])

    def _anchor(self, feed_numbers: np.ndarray) -> None:
        """Add anchors; ``feed_numbers`` tell which of the chunk's line feeds end records. The next line begins a record."""
        if not len(feed_numbers):
            return
        lines = self.lines + feed_numbers + 1
        records = self.records + 1 + np.arange(len(feed_numbers))
        distance = lines - records
        last = self.anchors[-1][1] - self.anchors[-1][0]
        for place in np.flatnonzero(np.diff(distance, prepend=last)):
            self.anchors.append((int(records[place]), int(lines[place])))


def _count(places: np.ndarray) -> int:
    return int(np.count_nonzero(places))
