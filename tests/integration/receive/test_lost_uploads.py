"""What S3, the ledger or an event lose of an upload: nothing of it is loaded that was not asked for, and all of it that was."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import uuid_utils

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived, ObjectsArrived, Reconciled
from pipeline.contracts.object_keys import incoming_key
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration.queue_activities import QueueActivities
from pipeline.receive.reconciliation import Reconciler
from pipeline.receive.upload_metadata import UploadRequest, metadata_of
from pipeline.settings import Settings
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import AppContext

CSV = b"id,parentId,name\n1,,a\n2,1,b\n"
METHODS = ("PUT ", "POST ", "DELETE ", "HEAD ", "GET ")


class LosingProxy:
    """Between a client and S3: it loses the answers to PUT, after calling ``on_lost``, and every DELETE on its way."""

    def __init__(self, endpoint: str) -> None:
        split = urlsplit(endpoint)
        self._to = (str(split.hostname), int(split.port or 80))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.lost: list[str] = []
        self.on_lost: Callable[[], None] = lambda: None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        method = [""]
        with client, socket.create_connection(self._to) as s3, contextlib.suppress(OSError):
            threading.Thread(target=self._answers, args=(s3, client, method), daemon=True).start()
            while data := client.recv(65_536):
                head = data[:10].decode("latin-1")
                method[0] = next((one.strip() for one in METHODS if head.startswith(one)), method[0])
                if method[0] == "DELETE":
                    self.lost.append("DELETE")
                    return
                s3.sendall(data)

    def _answers(self, s3: socket.socket, client: socket.socket, method: list[str]) -> None:
        with contextlib.suppress(OSError):
            while data := s3.recv(65_536):
                if method[0] == "PUT" and not data.startswith(b"HTTP/1.1 100"):
                    self.lost.append("PUT")
                    self.on_lost()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def losing(settings: Settings, edges: AppContext) -> Iterator[LosingProxy]:
    """The web app reaches S3 through such a proxy; the worker and the test do not."""
    proxy = LosingProxy(str(settings.s3_endpoint))
    object.__setattr__(edges, "store", Store.of(settings.model_copy(update={"s3_endpoint": proxy.endpoint})))
    yield proxy
    proxy.close()


def reconciled(settings: Settings, store: Store, edges: AppContext) -> Reconciled:
    return Reconciler(settings, store, edges.ledger, edges.temporal).reconcile(beat=lambda _: None)


def loaded(edges: AppContext) -> int:
    with edges.engine.connect() as connection:
        return int(connection.exec_driver_sql("select count(*) from warehouse.records").scalar_one())


def forget(edges: AppContext, *ids: str) -> None:
    """As after a restore of the ledger to a moment before these uploads."""
    with edges.engine.begin() as connection:
        for one in ids:
            connection.exec_driver_sql("delete from ledger.import where id = %s", (one,))


def announce(settings: Settings, edges: AppContext, store: Store, *keys: str) -> None:
    """Have these events looked at, by REGISTER as a worker has it."""
    activities = QueueActivities(store, edges.ledger, edges.temporal)
    activities.register(ObjectsArrived(tuple(ObjectArrived(store.bucket, key) for key in keys)))


def ended(edges: AppContext, import_id: str) -> ImportRecord:
    wait_until(lambda: edges.ledger.imports.known(import_id).state.is_final, seconds=600.0)
    return edges.ledger.imports.known(import_id)


# --- S3's answer is lost ---


def test_what_s3_took_without_its_answer_arriving_is_never_imported(
    api: Any, edges: AppContext, settings: Settings, store: Store, losing: LosingProxy
) -> None:
    """Neither file, and above all not the dry run, is loaded: whether the event or the reconciliation comes."""
    once = {"Idempotency-Key": "again"}
    for query in ("dry_run=true", "force=true"):
        answer = api.post(f"/v1/datasets/records/imports?filename=a.csv&{query}", data=CSV, headers=once)
        assert (answer.status_code, answer.json["code"]) == (503, "unreachable")
        once = {}
    keys = [stored.key for stored in store.list("incoming/")]
    assert len(keys) == 2, "they are there all the same, for the DELETE was lost as well"
    assert {"PUT", "DELETE"} == set(losing.lost)
    assert {one.state for one in edges.ledger.imports.page()} == {State.EXPIRED}
    for _ in range(2):
        announce(settings, edges, store, *keys)
        found = reconciled(settings, store, edges)
        assert (found.seen, found.started, found.unknown, found.replaced) == (2, 0, 0, 0)
    assert [one.state for one in edges.ledger.imports.page()] == [State.EXPIRED] * 2
    assert edges.ledger.imports.active() == []
    object.__setattr__(edges, "store", store)
    again = api.post("/v1/datasets/records/imports?filename=a.csv&dry_run=true", data=CSV, headers={"Idempotency-Key": "again"})
    assert again.status_code == 202, "the key is free"


def test_an_upload_whose_event_came_before_its_answer_was_lost_is_the_import_that_it_began(
    api: Any, edges: AppContext, settings: Settings, store: Store, losing: LosingProxy
) -> None:
    losing.on_lost = lambda: announce(settings, edges, store, *[stored.key for stored in store.list("incoming/")])
    answer = api.post("/v1/datasets/records/imports?filename=a.csv&dry_run=true", data=CSV)
    assert answer.status_code == 202
    made = answer.json
    assert (made["state"], made["dry_run"]) == ("queued", True)
    assert losing.lost == ["PUT"] * len(losing.lost), "nobody removes a file that is wanted"
    assert [one.id for one in edges.ledger.imports.page()] == [made["id"]]
    edges.temporal.announce(ObjectArrived(store.bucket, made["source"]["key"], made["id"]))
    with running_worker(settings):
        assert ended(edges, made["id"]).state is State.VALIDATED
    assert loaded(edges) == 0


def test_an_upload_that_was_canceled_before_its_answer_was_lost_stays_canceled(
    api: Any, edges: AppContext, settings: Settings, store: Store, losing: LosingProxy
) -> None:
    def cancel() -> None:
        (one,) = edges.ledger.imports.page()
        edges.ledger.imports.move(one.id, State.CANCELED)

    losing.on_lost = cancel
    assert api.post("/v1/datasets/records/imports?filename=a.csv", data=CSV).status_code in (409, 503)
    announce(settings, edges, store, *[stored.key for stored in store.list("incoming/")])
    assert [one.state for one in edges.ledger.imports.page()] == [State.CANCELED]


def test_a_retry_whose_copy_was_not_confirmed_is_not_imported(
    api: Any, edges: AppContext, settings: Settings, store: Store
) -> None:
    one = api.upload(CSV, dataset="records").json
    edges.ledger.imports.move(one["id"], State.CANCELED, records_total=2, unprocessed=2)
    proxy = LosingProxy(str(settings.s3_endpoint))
    object.__setattr__(edges, "store", Store.of(settings.model_copy(update={"s3_endpoint": proxy.endpoint})))
    assert api.post(f"/v1/imports/{one['id']}/retry").json["code"] == "unreachable"
    proxy.close()
    retried = edges.ledger.imports.page()[0]
    assert (retried.retry_of, retried.state) == (one["id"], State.EXPIRED)
    assert store.head(retried.key) is not None
    announce(settings, edges, store, retried.key)
    assert reconciled(settings, store, edges).started == 0
    assert edges.ledger.imports.known(retried.id).state is State.EXPIRED


# --- the ledger's row is lost ---

WISHES = {"on_error": "quarantine", "max_errors": "7", "delimiter": "semicolon", "notify": "me@example.org"}
RENAMED = "Schl\u00fcssel;parentId;name\n1;;a\n2;1;b\n".encode()


def sent(api: Any, way: str) -> str:
    """The id of a dry run with every kind of wish, sent that way, but not begun."""
    if way == "request":
        query = {"filename": "St\u00e4dte.csv", "dry_run": "true", "mapping": '{"Schl\u00fcssel": "id"}', **WISHES}
        return str(api.post("/v1/datasets/records/imports", query_string=query, data=RENAMED).json["id"])
    metadata = {"dataset": "records", "dry_run": "true", "mapping": '{"Schl\u00fcssel": "id"}', **WISHES}
    if way == "form":
        query = {f"metadata[{name}]": value for name, value in metadata.items()}
        signed = api.get("/s3/params", query_string={"filename": "St\u00e4dte.csv", "type": "text/csv", **query}).json
        answer = requests.post(signed["url"], data=signed["fields"], files={"file": ("x", RENAMED)}, timeout=10)
        assert answer.status_code in (200, 201, 204), answer.text
        return str(signed["id"])
    opened = api.post("/s3/multipart", json={"filename": "St\u00e4dte.csv", "metadata": metadata}).json
    at = f"/s3/multipart/{opened['uploadId']}"
    url = api.get(f"{at}/1?key={opened['key']}").json["url"]
    etag = requests.put(url, data=RENAMED, timeout=10).headers["ETag"]
    whole = api.post(f"{at}/complete?key={opened['key']}", json={"parts": [{"PartNumber": 1, "ETag": etag}]})
    assert whole.status_code == 200, whole.text
    return str(opened["id"])


def test_an_import_whose_row_is_lost_is_restored_with_all_that_was_asked_for(
    api: Any, edges: AppContext, settings: Settings, store: Store
) -> None:
    ids = [sent(api, way) for way in ("request", "form", "parts")]
    parent = api.upload(b"id,parentId,name\n9,,z\n", dataset="records").json["id"]
    edges.ledger.imports.move(parent, State.CANCELED, records_total=1, unprocessed=1)
    retried = api.post(f"/v1/imports/{parent}/retry").json["id"]
    before = {one: edges.ledger.imports.known(one) for one in (*ids, retried)}
    assert all(before[one].options.mapping == {"Schl\u00fcssel": "id"} and before[one].options.dry_run for one in ids)
    forget(edges, *before)
    found = reconciled(settings, store, edges)
    assert (found.started, found.unknown) == (4, 0)
    with running_worker(settings):
        wait_until(lambda: len(edges.ledger.imports.page()) == 5)
        after = {one: ended(edges, one) for one in before}
    for one, was in before.items():
        now = after[one]
        assert (now.options, now.filename, now.created_by, now.key) == (was.options, was.filename, was.created_by, was.key)
    assert after[retried].retry_of == parent
    assert {after[one].state for one in ids} == {State.VALIDATED}, [after[one].reason for one in ids]
    assert (after[retried].state, loaded(edges)) == (State.SUCCEEDED, 1), "no dry run was loaded"
    assert reconciled(settings, store, edges).started == 0


def test_what_cannot_be_restored_is_left_alone_and_reported(
    api: Any, edges: AppContext, settings: Settings, store: Store
) -> None:
    def put(import_id: str, metadata: dict[str, str], *, name: str = "a.csv") -> str:
        key = incoming_key("records", import_id, name)
        store.put_bytes(key, CSV, metadata=metadata)
        return key

    ids = [str(uuid_utils.uuid7()) for _ in range(6)]
    dry = metadata_of(ids[5], UploadRequest(Options(dry_run=True)))
    large = Options(dry_run=True, mapping={str(uuid_utils.uuid4()): "name" for _ in range(100)})
    assert "import" not in metadata_of(ids[0], UploadRequest(large))
    alone = [
        put(ids[0], metadata_of(ids[0], UploadRequest(large))),
        put(ids[1], {}, name="of an upload, without its metadata.csv"),
        put(ids[2], {"import-id": ids[2], "import": "nonsense"}),
        put(ids[3], metadata_of(ids[4], UploadRequest(Options(dry_run=True)))),
        "incoming/records/copied.csv",
        "incoming/records/2026/copied.csv",
    ]
    store.put_bytes(alone[4], CSV, metadata=dry)
    store.put_bytes(alone[5], CSV, metadata={"import-id": "not an id"})
    canceled = put(ids[5], metadata_of(ids[5], UploadRequest(Options())))
    store.put_bytes(f"results/{ids[5]}/summary.json", b'{"state": "canceled"}')
    own_folder = "incoming/records/6ba7b810-9dad-11d1-80b4-00c04fd430c8/dropped.csv"
    store.put_bytes(own_folder, CSV)
    found = reconciled(settings, store, edges)
    assert (found.seen, found.started, found.keys) == (8, 1, (own_folder,))
    assert (found.unknown, set(found.unknown_keys)) == (7, {*alone, canceled})
    announce(settings, edges, store, *alone, canceled, own_folder)
    assert [one.key for one in edges.ledger.imports.page()] == [own_folder]


def test_s3_is_asked_once_about_an_object_that_is_left_alone(
    edges: AppContext, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = incoming_key("records", str(uuid_utils.uuid7()), "a.csv")
    store.put_bytes(key, CSV)
    asked = list[str]()
    head = store.head
    monkeypatch.setattr(store, "head", lambda key: asked.append(key) or head(key))
    reconciler = Reconciler(settings, store, edges.ledger, edges.temporal)
    assert [reconciler.reconcile(beat=lambda _: None).unknown for _ in range(3)] == [1, 1, 1]
    assert asked == [key]


@pytest.mark.parametrize("state", [State.CANCELED, State.REJECTED, State.VALIDATED, State.EXPIRED, State.FAILED])
def test_a_known_import_is_not_imported_again_because_its_object_changed(
    edges: AppContext, settings: Settings, store: Store, state: State
) -> None:
    """Encrypted anew, copied back with or without its metadata, or under another name."""
    import_id = str(uuid_utils.uuid7())
    key, asked = incoming_key("records", import_id, "a.csv"), UploadRequest(Options(dry_run=state is State.VALIDATED))
    edges.ledger.imports.open(
        import_id, dataset="records", filename="a.csv", bucket=store.bucket, key=key, etag="of old", options=asked.options
    )
    with edges.engine.begin() as connection:
        connection.exec_driver_sql("update ledger.import set state = %s, finished_at = now()", (str(state),))
    copies = ["incoming/records/copy.csv", incoming_key("records", str(uuid_utils.uuid7()), "a.csv")]
    for metadata in (metadata_of(import_id, asked), {}):
        store.put_bytes(key, CSV, metadata=metadata)
        announce(settings, edges, store, key)
        found = reconciled(settings, store, edges)
        assert (found.started, found.replaced, found.unknown) == (0, 1, 0)
    for copy in copies:
        store.put_bytes(copy, CSV, metadata=metadata_of(import_id, asked))
    announce(settings, edges, store, *copies)
    found = reconciled(settings, store, edges)
    assert (found.started, found.replaced, set(found.unknown_keys)) == (0, 1, set(copies))
    assert [(one.id, one.state) for one in edges.ledger.imports.page()] == [(import_id, state)]


# --- events are lost, late, or out of order ---


def test_of_a_hundred_files_all_of_whose_events_were_lost_each_is_imported_once(
    edges: AppContext, settings: Settings, store: Store
) -> None:
    dropped = [f"incoming/records/{number}.csv" for number in range(50)]
    ids = [str(uuid_utils.uuid7()) for _ in range(50)]
    uploaded = [incoming_key("records", one, "a.csv") for one in ids]
    options = Options(on_error=OnError.QUARANTINE)
    for import_id, key in zip(ids, uploaded, strict=True):
        edges.ledger.imports.open(import_id, dataset="records", filename="a.csv", bucket=store.bucket, key=key, options=options)
        store.put_bytes(key, CSV, metadata=metadata_of(import_id, UploadRequest(options)))
    for key in dropped:
        store.put_bytes(key, CSV)
    forget(edges, *ids[:10])  # and of some the row was lost as well
    assert reconciled(settings, store, edges).started == 100
    with running_worker(settings):
        wait_until(lambda: len(edges.ledger.imports.page(limit=200)) == 100, seconds=600.0)
        wait_until(lambda: not edges.ledger.imports.page(state="awaiting_upload"), seconds=600.0)
    imports = edges.ledger.imports.page(limit=200)
    assert sorted(one.key for one in imports) == sorted([*dropped, *uploaded])
    assert all(one.options == options for one in imports if one.key in uploaded)
    found = reconciled(settings, store, edges)
    assert (found.seen, found.unknown, len(edges.ledger.imports.page(limit=200))) == (100, 0, 100)


def test_events_that_are_26_hours_late_or_tell_of_an_older_version_begin_nothing(
    edges: AppContext, settings: Settings, store: Store
) -> None:
    key, own = "incoming/records/a.csv", str(uuid_utils.uuid7())
    uploaded = incoming_key("records", own, "a.csv")
    edges.ledger.imports.open(own, dataset="records", filename="a.csv", bucket=store.bucket, key=uploaded)
    store.put_bytes(uploaded, CSV, metadata=metadata_of(own, UploadRequest()))
    store.put_bytes(key, CSV)
    store.put_bytes(key, CSV + b"3,1,c\n")
    announce(settings, edges, store, uploaded, key)  # the second version's event is the first to come
    first = edges.ledger.imports.page()
    assert [one.state for one in first] == [State.QUEUED] * 2
    with edges.engine.begin() as connection:
        connection.exec_driver_sql(
            "update ledger.import set created_at = created_at - interval '26 hours', state = 'succeeded', finished_at = now()"
        )
    announce(settings, edges, store, key, uploaded, key)
    assert [(one.id, one.state) for one in edges.ledger.imports.page()] == [(one.id, State.SUCCEEDED) for one in first]
    assert reconciled(settings, store, edges).started == 0
