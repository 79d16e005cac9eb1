"""An upload becomes an import or nothing: what is undone, by where it failed; repeated requests get the first import."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.s3 import NotThere, Stored
from pipeline.contracts.states import State
from pipeline.errors import IllegalMove, Unreachable
from pipeline.ledger.idempotency_keys import KnownRequest
from pipeline.receive.idempotency import IdempotencyKey, IdempotencyMismatch, UploadInFlight
from pipeline.receive.upload import CanceledMeanwhile, EmptyFile, Intake, UploadOver, clean_name, key_name
from pipeline.receive.upload_metadata import IMPORT_ID, UploadRequest

KEY = IdempotencyKey("owner", "k", "fingerprint")


class FakeLedger:
    """One import, without its counts, and one idempotency key."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.row: dict[str, Any] = {}
        self.request: KnownRequest | None = None
        self.imports = SimpleNamespace(open=self._open, move=self._move, known=self._get, get=self._get)
        self.uploads = SimpleNamespace(complete=self._complete, discard=self._discard, renew=None, lapsed_key=lambda _: None)
        self.idempotency_keys = SimpleNamespace(
            open=self._open_key, get=lambda *_: self.request, renew=lambda *_, **__: True, discard=self._forget
        )

    def _open(self, import_id: str, **row: Any) -> None:
        self.state, self.row = row["state"], {"id": import_id, **row}

    def _move(self, _: str, to: State, reason: str = "") -> None:
        if self.state is not State.AWAITING_UPLOAD:
            raise IllegalMove
        self.state = to

    def _get(self, import_id: str) -> Any:
        return SimpleNamespace(id=import_id, state=self.state, sha256=self.row.get("sha256", ""))

    def _complete(self, _: str, **columns: Any) -> None:
        self.state = State.QUEUED if self.state is State.AWAITING_UPLOAD else self.state
        self.row |= columns

    def _discard(self, _: str) -> None:
        self.state = None

    def _open_key(self, *_: str, fingerprint: str, import_id: str) -> bool:
        is_first, self.request = self.request is None, self.request or KnownRequest(fingerprint, import_id, is_old=False)
        return is_first

    def _forget(self, *_: str, import_id: str) -> None:
        self.request = None


class FakeStore:
    """A bucket of one object, which may fail after ``meanwhile`` has happened."""

    bucket = "b"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, Any]] = {}
        self.failure: Exception | None = None
        self.meanwhile = lambda: None

    def must_answer(self) -> None:
        pass

    def put_stream(self, key: str, stream: Any, *, metadata: Any) -> Stored:
        content = stream.read()
        self.objects[key] = (content, metadata)
        self.meanwhile()
        if self.failure:
            raise self.failure
        return Stored(key, len(content), "etag", None, sha256="sha")

    def copy(self, source: str, key: str, *, metadata: Any) -> Stored:
        raise NotThere(source)

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def intake(store: FakeStore, ledger: FakeLedger) -> Intake:
    return Intake(store, ledger)  # type: ignore[arg-type]


def test_a_file_is_stored_under_its_imports_id_and_queued(intake: Intake, store: FakeStore, ledger: FakeLedger) -> None:
    receipt = intake.stream("places", UploadRequest(filename="../Städte\0.csv"), iter([b"a", b"b"]))
    ((key, (content, metadata)),) = store.objects.items()
    assert (ledger.state, ledger.row["filename"], ledger.row["key"]) == (State.QUEUED, "Städte.csv", key)
    assert key == f"incoming/places/{receipt.made.id}/Stadte.csv"
    assert (content, metadata[IMPORT_ID], receipt.replayed) == (b"ab", receipt.made.id, False)


def test_an_empty_file_is_not_begun(intake: Intake, store: FakeStore, ledger: FakeLedger) -> None:
    with pytest.raises(EmptyFile):
        intake.stream("places", UploadRequest(), iter([]), KEY)
    assert (ledger.row, ledger.request, store.objects) == ({}, None, {})


def test_a_source_that_fails_leaves_nothing(intake: Intake, store: FakeStore, ledger: FakeLedger) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        intake.stream("places", UploadRequest(), chunks(), KEY)
    assert (ledger.state, ledger.request, store.objects) == (None, None, {})


def test_a_copy_of_nothing_leaves_nothing(intake: Intake, ledger: FakeLedger) -> None:
    with pytest.raises(NotThere):
        intake.copy("places", UploadRequest(filename="a.csv"), "results/gone", KEY)
    assert (ledger.state, ledger.request) == (None, None)


def test_a_lost_answer_of_s3_leaves_an_expired_row(intake: Intake, store: FakeStore, ledger: FakeLedger) -> None:
    store.failure = Unreachable("S3 does not answer.")
    with pytest.raises(Unreachable):
        intake.stream("places", UploadRequest(), iter([b"a"]), KEY)
    assert (ledger.state, ledger.request, store.objects) == (State.EXPIRED, None, {})


def test_a_lost_answer_is_no_failure_if_the_event_has_begun_the_import(
    intake: Intake, store: FakeStore, ledger: FakeLedger
) -> None:
    store.failure, store.meanwhile = Unreachable("S3 does not answer."), lambda: setattr(ledger, "state", State.VALIDATING)
    receipt = intake.stream("places", UploadRequest(), iter([b"a"]), KEY)
    assert (receipt.made.state, len(store.objects)) == (State.VALIDATING, 1)


@pytest.mark.parametrize(("state", "error"), [(State.CANCELED, CanceledMeanwhile), (State.EXPIRED, UploadOver)])
def test_an_import_that_ended_during_its_upload_keeps_no_object(
    intake: Intake, store: FakeStore, ledger: FakeLedger, state: State, error: type[Exception]
) -> None:
    store.meanwhile = lambda: setattr(ledger, "state", state)
    with pytest.raises(error):
        intake.stream("places", UploadRequest(), iter([b"a"]))
    assert store.objects == {}


def test_a_repeated_request_gets_the_first_import(intake: Intake, store: FakeStore, ledger: FakeLedger) -> None:
    content = b"a"
    first = intake.stream("places", UploadRequest(), iter([content]), KEY)
    ledger.row["sha256"] = ""  # as for a file that was not read here
    again = intake.stream("places", UploadRequest(), iter([content]), KEY)
    assert (again.made.id, again.replayed, len(store.objects)) == (first.made.id, True, 1)
    ledger.row["sha256"] = "another"
    with pytest.raises(IdempotencyMismatch):
        intake.stream("places", UploadRequest(), iter([content]), KEY)
    with pytest.raises(IdempotencyMismatch):
        intake.stream("places", UploadRequest(), iter([content]), IdempotencyKey("owner", "k", "other fingerprint"))
    ledger.state = State.AWAITING_UPLOAD
    with pytest.raises(UploadInFlight):
        intake.stream("places", UploadRequest(), iter([content]), KEY)


# --- names ---


@given(st.text(max_size=400))
def test_any_name_becomes_a_harmless_one(name: str) -> None:
    label = clean_name(name)
    assert 0 < len(label) <= 255
    assert not set(label) & set("/\\\r\n\0\t")
    safe = key_name(label)
    assert 0 < len(safe) <= 100
    assert set(safe) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert safe[0] not in ".-"
