"""Step 2, read: turn the bytes of an uploaded file, in any accepted format, into raw rows in the staging database.

In: a file and its dataset. Out: the tables raw, malformed, findings, lines and reading (raw_tables.py), and a FileSummary; or
Unreadable, if the file as a whole cannot be read. ``containers`` opens what is compressed or packed, ``formats`` reads each
format. Next: staging, which gives the values their types.
"""

from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_file import FORMATS, FileSummary, read

__all__ = ["FORMATS", "FileSummary", "Limits", "RawTables", "read"]
