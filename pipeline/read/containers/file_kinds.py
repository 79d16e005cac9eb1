"""Name the kinds of files that cannot be read, by their first bytes, and say how to export a table from each.

One entry a kind: what it is, how it begins (or a function that recognises it), and what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from pipeline.read.containers.text_kinds import TEXT_KINDS


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is not read: "The file is {name}." with what to do."""

    name: str
    advice: str = ""


_UNPACK = "Unpack it, and upload the tables, or pack them as ZIP, gzip or Zstandard."
_IMAGE = "An image has no table that can be read: upload the table that it shows."
_EXCEL = "Open it in Excel or LibreOffice, and save it as an Excel workbook (xlsx) or as CSV UTF-8."
_PANDAS = "Read it with Python, and write it with DataFrame.to_parquet or to_csv(index=False)."
_ARROW = "Read it with pyarrow or pandas, and write it as Parquet, for instance with pyarrow.parquet.write_table."
_R = "In R: write.csv(x, 'records.csv', row.names = FALSE, na = '')."
_DATABASE = "Export the table as CSV with the column names in the first line."
_GIS = "In QGIS: Export > Save Features As > Comma Separated Value, or: ogr2ogr records.csv"

_BY_MAGIC: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"%PDF",), "a PDF document", "Export the table from the program that made the PDF."),
    ((b"%!PS",), "a PostScript document", "Export the table from the program that made it."),
    ((b"{\\rtf",), "an RTF document", "Copy the table into a spreadsheet, and save that as CSV."),
    ((b"PARE",), "an encrypted Parquet file", "Write it again without encryption."),
    (tuple(b"BZh%d" % level for level in range(1, 10)), "compressed with bzip2", _UNPACK),
    ((b"\xfd7zXZ\x00",), "compressed with xz", _UNPACK),
    ((b"\x04\x22\x4d\x18",), "compressed with LZ4", _UNPACK),
    ((b"LZIP",), "compressed with lzip", _UNPACK),
    ((b"\x1f\x9d", b"\x1f\xa0"), "compressed with compress (.Z)", _UNPACK),
    ((b"\xff\x06\x00\x00sNaPpY",), "compressed with Snappy", _UNPACK),
    ((b"7z\xbc\xaf\x27\x1c",), "a 7-Zip archive", _UNPACK),
    ((b"Rar!\x1a\x07",), "a RAR archive", _UNPACK),
    ((b"MSCF\0\0\0\0",), "a Windows cabinet archive", _UNPACK),
    ((b"\x1f\x8b",), "compressed with gzip a second time", "Compress it once only."),
    ((b"\x28\xb5\x2f\xfd",), "compressed with Zstandard a second time", "Compress it once only."),
    ((b"\x09\x08\x10\x00\x00\x06", b"\x09\x08\x08\x00\x00\x05", b"\x09\x04\x06\x00"), "an old Excel workbook (xls)", _EXCEL),
    ((b"\x00\x00\x1a\x00", b"\x00\x00\x02\x00\x04\x04"), "a Lotus 1-2-3 spreadsheet", _EXCEL),
    ((b"TABLE\r\n0,1\r\n", b"TABLE\n0,1\n"), "a spreadsheet in the Data Interchange Format (DIF)", _EXCEL),
    ((b"\x00\x01\x00\x00Standard ACE DB", b"\x00\x01\x00\x00Standard Jet DB"), "an Access database",
     "In Access: select the table, then External Data > Export > Excel, or > Text File with the field names in the first row."),
    ((b"PGDMP",), "a PostgreSQL dump in pg_dump's own format",
     "Export the table: psql -c \"\\copy (select ...) to 'records.csv' csv header\"."),
    ((b"\x00\x00\x27\x0a",), "a shapefile", f"{_GIS} places.shp."),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle", _PANDAS),
    ((b"\x93NUMPY",), "a NumPy array (npy)", _PANDAS),
    ((b"\x89HDF\r\n\x1a\n",), "an HDF5 file", _PANDAS),
    ((b"MATLAB 5.0 MAT-file",), "a MATLAB file", "In MATLAB: writetable(t, 'records.csv')."),
    ((b"<stata_dta>",), "a Stata data set", "In Stata: export delimited using records.csv."),
    ((b"$FL2", b"$FL3"), "an SPSS data file", "In SPSS: File > Save As > CSV, with the variable names."),
    ((bytes(12) + b"\xc2\xea\x81\x60", ), "a SAS data set",
     "In SAS: proc export data=records outfile='records.csv' dbms=csv; run;"),
    ((b"HEADER RECORD*******LIB",), "a SAS transport file", "In SAS: proc export with dbms=csv."),
    ((b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n"), "an R workspace (RData)", _R),
    ((b"X\n\0\0\0\x02", b"X\n\0\0\0\x03"), "an R object (rds)", _R),
    ((b"Obj\x01",), "an Avro file", "Write it as Parquet or as JSON lines: avro-tools tojson file.avro."),
    ((b"ORC",), "an ORC file", "Write it as Parquet, for instance with pyarrow or Spark."),
    ((b"FEA1", b"ARROW1", b"\xff\xff\xff\xff"), "an Arrow (Feather) file", _ARROW),
    ((b"\x89PNG",), "a PNG image", _IMAGE),
    ((b"\xff\xd8\xff",), "a JPEG image", _IMAGE),
    ((b"GIF87a", b"GIF89a"), "a GIF image", _IMAGE),
    ((b"II*\0", b"MM\0*"), "a TIFF image", _IMAGE),
    ((b"8BPS",), "a Photoshop image", _IMAGE),
    ((b"\0\0\1\0",), "an icon", _IMAGE),
    ((b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"), "a program", ""),
    ((b"bplist00",), "a property list of Apple", "Export the table from the program that made it."),
)  # fmt: skip

_ZIP_KINDS: Mapping[str, FileKind] = {
    "zip": FileKind("a ZIP archive", "Pack the files themselves, not archives of them."),
    "xlsb": FileKind("a binary Excel workbook (xlsb)", _EXCEL),
    "docx": FileKind("a Word document", "Copy its table into a spreadsheet, and save that as an Excel workbook or as CSV."),
    "pptx": FileKind("a PowerPoint presentation", "Copy its table into a spreadsheet, and save that as CSV."),
    "odf": FileKind("an OpenDocument file", "In LibreOffice: File > Save As > Excel workbook (xlsx), or Text CSV in UTF-8."),
    "numbers": FileKind("a Numbers spreadsheet", "In Numbers: File > Export To > CSV or Excel."),
    "pages": FileKind(
        "a document of Apple Pages or Keynote", "Copy its table into Numbers, and there: File > Export To > CSV."
    ),
    "shapefile": FileKind("a shapefile in a ZIP archive", f"{_GIS} places.shp."),
    "geodatabase": FileKind("an Esri geodatabase in a ZIP archive", f"{_GIS} places.gdb."),
    "kmz": FileKind("a Google Earth file (kmz)", f"{_GIS} places.kmz."),
    "delta": FileKind(
        "a Delta Lake table, whose files also have rows that were deleted",
        "Write the current version as one Parquet file, and upload that.",
    ),
    "iceberg": FileKind(
        "an Iceberg or Hudi table, whose files also have rows that were deleted",
        "Write the current version as one Parquet file, and upload that.",
    ),
    "npz": FileKind("a NumPy archive (npz)", _PANDAS),
    "jar": FileKind("a Java archive", ""),
    "apk": FileKind("an Android app", ""),
    "epub": FileKind("an e-book (EPUB)", ""),
}
_ZIP_NAMES: tuple[tuple[str, str], ...] = (
    (r"xl/workbook\.bin", "xlsb"),
    (r"word/document\.xml", "docx"),
    (r"ppt/presentation\.xml", "pptx"),
    (r"meta-inf/container\.xml", "epub"),
    (r"content\.xml", "odf"),
    (r"(.*/)?index/(slide.*|masterslide.*)\.iwa", "pages"),
    (r"(.*/)?index/(calculationengine.*|tables/.*)\.iwa", "numbers"),
    (r"(.*/)?index(\.zip|/.*\.iwa)", "numbers"),
    (r"(.*/)?_delta_log/.*\.json", "delta"),
    (r"(.*/)?metadata/.*\.metadata\.json|(.*/)?\.hoodie/.*", "iceberg"),
    (r".*\.gdb/.*\.gdbtable", "geodatabase"),
    (r".*\.shp", "shapefile"),
    (r"doc\.kml", "kmz"),
    (r"meta-inf/manifest\.mf", "jar"),
    (r"androidmanifest\.xml", "apk"),
)


_NAMES_AT_MOST = 2000  # are looked at: an archive with more is refused anyway


def kind_of_zip(key: str) -> FileKind:
    """Return the kind of an archive that zip_archive.kind_of has named."""
    return _ZIP_KINDS[key]


def kind_by_names(names: Collection[str]) -> str:
    """Return the key of a format that is a ZIP archive, by the names in it (in lower case); else an empty string."""
    names = tuple(islice(names, _NAMES_AT_MOST))
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    for pattern, key in _ZIP_NAMES:
        if any(re.fullmatch(pattern, name) for name in names):
            return key
    return ""


def kind_by_content_types(stated: Sequence[str]) -> str:
    """Return the key of a format of Office, by the content types of its parts; "zip" if there is none."""
    said = " ".join(stated).casefold()
    for words, key in (("sheet.binary", "xlsb"), ("wordprocessingml", "docx"), ("presentationml", "pptx")):
        if words in said:
            return key
    return "zip"


def unsupported_kind(head: bytes) -> FileKind | None:
    """Return what the file is if we know its format and do not support it."""
    for marks, name, advice in _BY_MAGIC:
        if head.startswith(marks) and (_begins_as_no_word(marks[0]) or _is_binary(head)):
            return FileKind(name, advice)
    for recognises in _BY_STRUCTURE:
        if kind := recognises(head):
            return FileKind(*kind)
    return None


def _begins_as_no_word(mark: bytes) -> bool:
    """Return whether no header of a text begins like this: it may well begin with ORC."""
    return not mark.isalnum() or len(mark) > 8 or mark.startswith(b"BZh")


def _is_binary(head: bytes) -> bool:
    """Return whether these bytes are no text."""
    if re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", head):
        return True
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.end < len(head)  # a character that is cut at the end is no fault
    return False


# --- What no fixed bytes at the beginning tell ----------------------------------------------------------------------------


def _compound_file(head: bytes) -> tuple[str, str] | None:
    """Recognise Microsoft's compound files by the names of the streams in them, if those are near the beginning."""
    if not head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return None
    for stream, name, advice in (
        (
            "EncryptedPackage",
            "an Excel workbook with a password",
            "In Excel: File > Info > Protect Workbook: remove the password.",
        ),
        ("WordDocument", "an old Word document", "Copy its table into a spreadsheet, and save that as CSV."),
        ("PowerPoint Document", "an old PowerPoint presentation", "Copy its table into a spreadsheet, and save that as CSV."),
        ("__properties_version1.0", "an Outlook message", "Save its attachment, and upload that."),
        ("Workbook", "an old Excel workbook (xls)", _EXCEL),
        ("Book", "an old Excel workbook (xls)", _EXCEL),
    ):
        if stream.encode("utf-16-le") + b"\0\0" in head:
            return name, advice
    return "an old Excel workbook (xls), or one with a password", f"{_EXCEL} Remove the password, if it has one."


def _sqlite(head: bytes) -> tuple[str, str] | None:
    if not head.startswith(b"SQLite format 3\0"):
        return None
    if head[68:72] in (b"GPKG", b"GP10", b"GP11"):
        return "a GeoPackage", f"{_GIS} places.gpkg."
    return "an SQLite database", "Export the table: sqlite3 -header -csv file.db 'select ...' > records.csv."


def _at_a_place(head: bytes) -> tuple[str, str] | None:
    """Recognise formats whose mark is not at the beginning."""
    if head[257:262] == b"ustar" or _is_old_tar(head):
        return "a tar archive", _UNPACK
    if head[8:12] == b"DUCK":
        return "a DuckDB database", "Export the table: duckdb file.db \"copy t to 'records.parquet'\"."
    if head[4:8] == b"ftyp":
        return "an image or a video", _IMAGE
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI ", b"WAVE"):
        return "an image or a recording", _IMAGE
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "a BMP image", _IMAGE
    if head[:2] == b"MZ" and b"\0" in head:
        return "a program", ""
    if re.match(rb"A\n[23]\n\d{5,6}\n\d{5,6}\n", head):
        return "an R object (rds)", _R
    return None


def _is_old_tar(head: bytes) -> bool:
    """Return whether it is a tar archive of before 1988: octal numbers with NULs or spaces where modes and sizes are."""
    return len(head) >= 512 and re.fullmatch(rb"[0-7]{6,7} ?\0+", head[100:108]) is not None and head[0] != 0


def _data_set(head: bytes) -> tuple[str, str] | None:
    """Recognise data sets of statistics programs and dBASE, which begin with a number of the version."""
    if len(head) > 3 and 0x69 <= head[0] <= 0x77 and head[1] in (1, 2) and head[2:4] == b"\1\0":
        return "a Stata data set", "In Stata: export delimited using records.csv."
    if b"ASCII SPSS PORT FILE" in head[:512]:
        return "an SPSS portable file", "In SPSS: File > Save As > CSV, with the variable names."
    if len(head) > 32 and head[0] in (0x03, 0x30, 0x31, 0x83, 0x8B, 0xF5) and _is_dbase_header(head):
        return "a dBASE table (dbf)", "Open it in LibreOffice or Excel, and save it as CSV UTF-8 or xlsx."
    return None


def _is_dbase_header(head: bytes) -> bool:
    """Return whether month, day, the header's length and the reserved bytes are as dBASE writes them."""
    length = int.from_bytes(head[8:10], "little")
    return 1 <= head[2] <= 12 and 1 <= head[3] <= 31 and length % 32 in (0, 1, 8, 9) and head[12:14] == b"\0\0"


_BY_STRUCTURE: tuple[Callable[[bytes], tuple[str, str] | None], ...] = (
    _compound_file,
    _sqlite,
    _at_a_place,
    _data_set,
    *TEXT_KINDS,
)
