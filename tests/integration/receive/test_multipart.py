"""Multipart uploads by signed addresses, as the real SeaweedFS takes them: what a browser and a resuming client build on."""

from __future__ import annotations

import pytest
import requests

from pipeline.adapters.s3 import NotThere, NotWhole, Part, Store

KEY = "incoming/tree/1/a.csv"
PART_BYTES_MIN = 5 << 20
BODIES = {1: b"a" * PART_BYTES_MIN, 2: b"b"}
ORIGIN = "http://127.0.0.1:8765"


def _put(store: Store, upload_id: str, number: int, body: bytes) -> requests.Response:
    """PUT a part as a page of another origin does."""
    address = store.sign_part(KEY, upload_id, number, seconds=3600)
    return requests.put(address, data=body, headers={"Origin": ORIGIN}, timeout=10)


def _sent(store: Store, upload_id: str, number: int) -> tuple[int, str]:
    answer = _put(store, upload_id, number, BODIES[number])
    assert answer.status_code == 200
    return number, answer.headers["ETag"].strip('"')


def _given_up(store: Store, upload_id: str) -> None:
    [[upload]] = store.uploads(KEY)
    assert upload.upload_id == upload_id
    store.abort(upload.key, upload.upload_id)
    assert [*store.uploads(KEY)] == []


def test_parts_in_any_order_become_the_object_and_an_upload_can_be_taken_up_again(store: Store) -> None:
    upload_id = store.begin_upload(KEY, metadata={"import-id": "1"})
    second = _sent(store, upload_id, 2)
    assert store.parts(KEY, upload_id) == [Part(2, 1, second[1])]  # what a client that comes back asks
    store.complete(KEY, upload_id, [_sent(store, upload_id, 1), second])
    there = store.head(KEY)
    assert there is not None
    assert (there.size_bytes, there.metadata) == (PART_BYTES_MIN + 1, {"import-id": "1"})
    assert store.get_bytes(KEY) == BODIES[1] + BODIES[2]
    with pytest.raises(NotThere):
        store.parts(KEY, upload_id)
    assert [*store.uploads(KEY)] == []
    store.delete(KEY)


@pytest.mark.parametrize("case", ["wrong ETag", "no such part", "out of order"])
def test_wrong_parts_make_no_object_and_cost_no_part(store: Store, case: str) -> None:
    upload_id = store.begin_upload(KEY)
    first, second = _sent(store, upload_id, 1), _sent(store, upload_id, 2)
    wrong = {
        "wrong ETag": [(1, "0" * 32), second],
        "no such part": [first, (3, second[1])],
        "out of order": [second, first],
    }[case]
    with pytest.raises(NotWhole):
        store.complete(KEY, upload_id, wrong)
    assert store.head(KEY) is None
    assert [part.number for part in store.parts(KEY, upload_id)] == [1, 2]
    _given_up(store, upload_id)


def test_after_an_abort_nothing_can_be_sent_listed_or_completed(store: Store) -> None:
    upload_id = store.begin_upload(KEY)
    _given_up(store, upload_id)
    assert _put(store, upload_id, 1, b"a").status_code == 404
    with pytest.raises(NotThere):
        store.parts(KEY, upload_id)
    with pytest.raises(NotThere):
        store.complete(KEY, upload_id, [(1, "0" * 32)])


def test_an_address_is_good_for_its_own_part_alone(store: Store) -> None:
    upload_id = store.begin_upload(KEY)
    address = store.sign_part(KEY, upload_id, 1, seconds=3600)
    assert requests.put(address.replace("partNumber=1", "partNumber=2"), data=b"x", timeout=10).status_code == 403
    assert store.parts(KEY, upload_id) == []
    _given_up(store, upload_id)


def test_a_page_of_another_origin_may_send_a_part_and_read_its_etag(store: Store) -> None:
    upload_id = store.begin_upload(KEY)
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    allowed = requests.options(store.sign_part(KEY, upload_id, 1, seconds=3600), headers=asked, timeout=10)
    assert allowed.status_code == 200
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
    sent = _put(store, upload_id, 1, b"a")
    assert sent.headers["Access-Control-Allow-Origin"] in (ORIGIN, "*")
    assert "ETag" in sent.headers["Access-Control-Expose-Headers"]
    _given_up(store, upload_id)
