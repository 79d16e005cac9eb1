# ruff: noqa: E501 - a case is one line, however long
"""Files that hold no table we read are named, with how to export from there; texts that only look like them are read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import sqlite3
from pathlib import Path

import duckdb
import pytest
import zstandard

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read import read
from pipeline.read.containers.file_kinds import unsupported_kind
from tests.support.workbooks import packed

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
CSV = b"id,parentId,name\n1,,a\n"


def stream(name: str) -> bytes:
    return OLE + name.encode("utf-16-le") + bytes(64)


KINDS: list[tuple[bytes, str]] = [
    (b"%PDF-1.7\n", "PDF"), (b"{\\rtf1\\ansi", "RTF"), (bz2.compress(CSV), "bzip2"), (lzma.compress(CSV), "xz"),
    (b"7z\xbc\xaf\x27\x1c\0\4", "7-Zip"), (b"Rar!\x1a\x07\x01\x00", "RAR"), (bytes(257) + b"ustar" + bytes(250), "tar"),
    (stream("Workbook"), "old Excel workbook (xls)."), (stream("EncryptedPackage"), "with a password"), (stream("WordDocument"), "Word"),
    (OLE, "or one with a password"), (b"\x00\x01\x00\x00Standard ACE DB\0", "Access"), (b"\x00\x01\x00\x00Standard Jet DB\0", "Access"),
    (b"\x00\x00\x27\x0a" + bytes(96), "shapefile"), (b"\x03\x7c\x05\x11\x02\0\0\0\x61\0\x20\0" + bytes(20) + b"ID", "dBASE"),
    (b"SQLite format 3\0" + bytes(84), "SQLite"), (b"SQLite format 3\0" + bytes(52) + b"GPKG" + bytes(28), "GeoPackage"),
    (pickle.dumps({"a": 1}), "pickle"), (b"\x93NUMPY\x01\x00v\x00", "NumPy"), (b"<stata_dta><header>", "Stata"), (b"\x72\x02\x01\x00", "Stata"),
    (b"$FL2@(#) SPSS DATA FILE\0\0", "SPSS"), (bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf", "SAS"), (b"RDX3\nX\n\0\0", "R workspace"),
    (b"X\n\0\0\0\x03\0\4", "R object"), (b"A\n3\n263169\n197888\n", "R object"), (b"Obj\x01\x04", "Avro"), (b"ORC\x0a\x00\x03", "ORC"),
    (b"FEA1\0\0\0\0", "Arrow"), (b"ARROW1\0\0", "Arrow"), (b"\xff\xff\xff\xff\x10\0\0\0", "Arrow"), (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff\xe0", "JPEG"), (b"GIF89a\1\0\1\0", "GIF"), (b"\0\0\0\x18ftypheic", "image"), (b"PGDMP\x01\x0e\0", "PostgreSQL dump"),
    (b"<!DOCTYPE html><body><table><tr>", "HTML page with a table"), (b"<html><p>Sign in", "HTML page, perhaps an error"), (b"<?xml version='1.0'?>\n<a/>", "XML"),
    (b"<?xml version='1.0'?>\n<?mso-application progid=\"Excel.Sheet\"?>", "Excel 2003"), (b"<svg>", "SVG"), (b"<?xml version='1.0'?><rdf:RDF>", "RDF"),
    (b"-- dump\n\n/*!40101 SET */;\nCREATE TABLE a (id int);", "SQL"), (b"INSERT INTO a (id, parentId) VALUES", "SQL"), (b"insert into a values (1);", "SQL"),
    (b"SET statement_timeout = 0;\n", "SQL"), (b"Return-Path: <a@b.c>\r\nReceived: from x\r\nSubject: y\r\n", "e-mail"),
    (b"- id: 1\n  parentId:\n  name: a\n- id: 2\n", "YAML"), (b"---\nid: 1\nname: a\n", "YAML"), (b"records:\n  - id: 1\n", "YAML"), (b"ID;PWXL;N;E\r\nP;PGeneral\r\n", "SYLK"),
    (b"format-version: 1.2\n", "OBO"), (b"@prefix ex: <http://x> .\n", "Turtle"), (b"digraph G {\n", "Graphviz"), (b"BEGIN:VCARD\n", "calendar or address card"),
    (packed({"Index/Document.iwa": "x", "Index/Tables/DataList.iwa": "x"}), "Numbers"), (packed({"Index/Slide-1.iwa": "x"}), "Keynote"),
    (packed({"mimetype": "x", "content.xml": "<a/>"}), "OpenDocument"), (packed({"xl/workbook.bin": "x"}), "xlsb"), (packed({"a.shp": "x", "a.dbf": "x"}), "shapefile"),
    (packed({"[Content_Types].xml": '<Types><Override PartName="/doc2.xml" ContentType="application/x.wordprocessingml.document.main+xml"/></Types>'}), "Word"),
    (packed({"a.npy": "x"}), "npz"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "name"), KINDS, ids=[f"{number}-{name}" for number, (_, name) in enumerate(KINDS)])
def test_other_files_are_named_with_how_to_export(tmp_path: Path, content: bytes, name: str) -> None:
    wrapped = [content, gzip.compress(content), zstandard.compress(content), packed({"a": content})]
    for source in wrapped[:1] if content.startswith(b"PK") else wrapped:
        (tmp_path / "source").write_bytes(source)
        with duckdb.connect() as connection, pytest.raises(Unreadable) as caught:
            read(tmp_path / "source", load_dataset("records"), connection=connection)
        assert name in str(caught.value)
        assert caught.value.code == "unreadable_file"
        assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        b"ORCID,parentId\n", b"FEA1,id\n", b"ID;ParentId\n1;\n", b"ID;P\n1;2\n", b"Set name,id\n", b"Use case;id\n", b"RIFF,id\n", b"BM,id\n", b"Rar!,id\n", b"BZh,id\n",
        b"From: x,id\n1,2\n", b"A\n2\n", b"A\n3\n", b"id,name\n- id: 1\n", b"# comment\nid,parentId\n", b"---\n", b"id\n--\n1\n", b"Begin,End\n", b"isbn,id\n",
        "Überschrift,id\n".encode(), b"update,id\n", b"graph,id\n", b"Copy of id,from\n", b"GIF89a,id\n", b"PGDMP,id\n", b"LZIP,id\n",
    ],
)  # fmt: skip
def test_a_text_that_begins_like_another_format_is_a_text(text: bytes) -> None:
    assert unsupported_kind(text * 40) is None
    assert unsupported_kind(text) is None


def test_a_real_database_is_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "source") as database:
        database.execute("create table t (id int)")
    with duckdb.connect() as connection, pytest.raises(Unreadable, match="an SQLite database"):
        read(tmp_path / "source", load_dataset("records"), connection=connection)
