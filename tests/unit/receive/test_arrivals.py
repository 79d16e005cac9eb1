"""What an object says of its import: all of it or nothing, whatever stands there; and the same id by every way of looking."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, datetime

import pytest

from pipeline.adapters.s3 import Stored
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.ledger.models import Trace
from pipeline.receive.arrivals import ids_of, is_ours, is_unchanged, trace_of
from pipeline.receive.upload_metadata import ASKED, IMPORT_ID, METADATA_BYTES_MAX, UploadRequest, asked_in, metadata_of

OWN = "01990b3c-0000-7000-8000-000000000001"
OTHER = "01990b3c-0000-7000-8000-000000000002"
ALL = Options(
    dry_run=True,
    on_error=OnError.QUARANTINE,
    max_errors=7,
    max_error_ratio=0.25,
    delimiter=";",
    quote="'",
    encoding="cp1252",
    header_row=3,
    sheet="Data",
    records_at="data.items",
    merged="fill",
    repeated_columns="list",
    no_parent_values=("0", "NULL"),
    parent_by="name",
    shape={"kind": "levels", "columns": ["Country", "City"]},
    clean={"trim": True},
    force=True,
    without=("row", "code"),
    patch="patches/01990b3c-0000-7000-8000-000000000002/applied-1-0.json.zz",
    mapping={"Kürzel": "id", "文\n\x7f": ""},
    notify=("me@example.org", "https://example.org/hook?x=1"),
)


@pytest.mark.parametrize(
    "asked",
    [
        UploadRequest(),
        UploadRequest(ALL, "Städte ü\x7f.csv", OWN, OTHER),
        UploadRequest(Options(dry_run=True)),
        UploadRequest(filename="文" * 255),
    ],
    ids=["nothing", "all", "a dry run", "a long name"],
)
def test_all_that_was_asked_for_comes_back(asked: UploadRequest) -> None:
    metadata = metadata_of(OWN, asked)
    assert metadata[IMPORT_ID] == OWN
    assert all(value.isascii() and value.isprintable() for value in metadata.values())
    assert sum(len(name) + len(value) for name, value in metadata.items()) <= METADATA_BYTES_MAX
    assert asked_in(metadata) == asked


def test_every_option_is_tried_here() -> None:
    assert all(getattr(ALL, name) != value for name, value in vars(Options()).items())


def test_what_s3_cannot_hold_is_not_said_in_part() -> None:
    mapping = {f"column {base64.b85encode(str(n**9).encode()).decode()}": f"c{n}" for n in range(1_000)}
    metadata = metadata_of(OWN, UploadRequest(Options(dry_run=True, mapping=mapping)))
    assert metadata == {IMPORT_ID: OWN}
    assert asked_in(metadata) is None


def packed(text: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode()


@pytest.mark.parametrize(
    "value",
    [
        *("", "*", "AAAA", "Zm9v", packed(b"")[:-4], packed(b"{}"), packed(b"[]"), packed(b"1"), packed(b"\xff")),
        packed(b"[" * 60_000),
        packed(json.dumps({"options": {"nonsense": 1}, "filename": ""}).encode()),
        packed(json.dumps({"options": {"on_error": "shrug"}, "filename": ""}).encode()),
        packed(json.dumps({"options": [], "filename": ""}).encode()),
        packed(json.dumps({"options": {}, "filename": "", "created_by": "me"}).encode()),
        packed(json.dumps({"options": {}, "filename": "x" * 1_000_000}).encode()),
    ],
)
def test_what_cannot_be_read_says_nothing(value: str) -> None:
    assert asked_in({ASKED: value}) is None


def stored(key: str = f"incoming/places/{OWN}/a.csv", etag: str = "e", microsecond: int = 0) -> Stored:
    return Stored(key, 1, etag, datetime(2026, 11, 24, 4, 38, 18, microsecond, tzinfo=UTC))


def test_a_listing_with_fractions_of_a_second_gives_the_same_id_as_an_answer_without() -> None:
    listed, told = stored("incoming/places/a.csv", microsecond=987_000), stored("incoming/places/a.csv")
    assert ids_of("b", listed) == ids_of("b", told) == ("32b918d8-2cd7-565e-b487-c25809a06096",), "as ever"


def trace(id_: str, key: str, etag: str = "e") -> Trace:
    return Trace(id_, State.VALIDATED, key, etag, None)


def test_an_import_keeps_its_key_whatever_lies_there_later() -> None:
    own = trace(OWN, stored().key)
    assert trace_of("b", stored(etag="another"), {OWN: own}) is own
    assert not is_unchanged(stored(etag="another"), own)
    assert is_unchanged(stored(), own) and is_unchanged(stored(), trace(OWN, stored().key, ""))
    assert trace_of("b", stored(f"incoming/records/{OWN}/a.csv"), {OWN: own}) is None
    dropped = trace(ids_of("b", stored())[0], stored().key)
    assert trace_of("b", stored(), {dropped.id: dropped}) is dropped


@pytest.mark.parametrize(
    ("id_", "ours"),
    [(OWN, True), ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", False), (None, False), (ids_of("b", stored())[0], False)],
)
def test_an_upload_has_an_id_of_version_7(id_: str | None, ours: bool) -> None:
    assert is_ours(id_) is ours
