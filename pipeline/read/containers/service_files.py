"""Tell the tables of an archive from the files that programs and people add: markers, checksums, thumbnails, licences.

Also read a folder's ``key=value`` in the paths of a partitioned table, as Hive, Spark and DuckDB write it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

_SERVICE = re.compile(
    r"""(.*/)?(__MACOSX/.*|_temporary/.*|\.[^/]+(/.*)?
        |_(SUCCESS|metadata|common_metadata)|_(started|committed)_\d*
        |(eh)?thumbs\.db|desktop\.ini|Icon\r|~\$[^/]*
        |[^/]*\.(crc|md5|sha1|sha256|sha512|asc|sig)|(MD5|SHA1|SHA256|SHA512)SUMS(\.txt)?)""",
    re.IGNORECASE | re.VERBOSE,
)
_ABOUT = re.compile(r"(.*/)?(readme|licen[cs]e|copying|notice|changelog)(\.(txt|md|rst|html?|pdf))?", re.IGNORECASE)
_TABLE = re.compile(r".*\.(csv|tsv|tab|txt|json|ndjson|jsonl|geojson|parquet|xlsx|xlsm)(\.(gz|zst))?", re.IGNORECASE)
_PARTITION = re.compile(r"([^=/\\]+)=([^/\\]*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def split_service_files(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of an archive's tables, and those that are passed over: also texts about them, if it has any."""
    own = [name for name in names if not _SERVICE.fullmatch(name.replace("\\", "/"))]
    tables = [name for name in own if not _ABOUT.fullmatch(name.replace("\\", "/"))]
    if any(_TABLE.fullmatch(name) for name in tables):
        own = tables
    kept = set(own)
    return own, [name for name in names if name not in kept]


def is_unremarkable(name: str) -> bool:
    """Return whether a file is one that macOS adds to every archive, which no message has to name."""
    return re.fullmatch(r"(.*/)?(__MACOSX/.*|\.DS_Store)", name.replace("\\", "/")) is not None


def partition_of(name: str) -> dict[str, str | None]:
    """Return the columns that a file's folders give to all its records."""
    folders = name.replace("\\", "/").split("/")[:-1]
    found = (_PARTITION.fullmatch(folder) for folder in folders)
    values = {unquote(one[1]): unquote(one[2]) for one in found if one}
    return {column: None if value in ("", _NO_VALUE) else value for column, value in values.items()}
