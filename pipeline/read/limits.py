"""Limits on what a file may use: every loop over the bytes of a file ends at one of these."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.units import GIB, KIB, MIB


@dataclass(frozen=True)
class Limits:
    """Limits for reading one file. A file that exceeds one is refused with a message that names it, never cut."""

    file_bytes: int = 100 * GIB  # of the text, after decompression
    ratio: int = 200  # text bytes to compressed bytes, once the text is longer than ratio_free_bytes
    ratio_free_bytes: int = 16 * MIB
    members: int = 1000  # files in an archive
    rows: int = 1_000_000_000  # that a Parquet file may declare
    row_groups: int = 100_000
    footer_bytes: int = 64 * MIB  # of a Parquet file
    cells: int = 20_000_000  # of a sheet, from its first cell to its last; Excel's reader has them all in memory
    columns: int = 1000
    header_bytes: int = 1 * MIB
    record_bytes: int = 4 * MIB
    value_bytes: int = 1 * MIB
    id_bytes: int = 1300  # two fit into an index row of PostgreSQL (2,704 bytes), and into the line of an HTTP request (8,190)
    nesting: int = 64  # of one value
    tree_depth: int = 10_000  # of records within records
    chunk_bytes: int = 512 * KIB  # processed at once: what a processor's cache holds (it is scanned several times)
