"""With keys, Temporal's histories have no plain text of an import; keys can be changed while imports run."""

from __future__ import annotations

import asyncio
import base64
import re
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.object_keys import dataset_of
from pipeline.contracts.states import State
from pipeline.errors import NotReady
from pipeline.settings import Settings
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, tree
from tests.support.import_steps import known, pause, paused_before_loading
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

pytestmark = pytest.mark.settings(**SMALL_PARTS)


def key(key_id: str, letter: str) -> str:
    return f"{key_id}:{base64.b64encode(letter.encode() * 32).decode()}"


BY_THE_SDK = (EventType.EVENT_TYPE_MARKER_RECORDED, EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
ONE, OTHER = key("k1", "a"), key("k2", "b")


def has_succeeded(bulkhead: Bulkhead, import_id: str) -> bool:
    """Whether the workflow says so: its answer is encrypted, too."""
    progress = bulkhead.orchestrator.progress(import_id)
    return progress is not None and progress.state is State.SUCCEEDED


async def histories(settings: Settings) -> dict[str, bytes]:
    """The stored histories of all workflows, as bytes in which payloads are as they are, by workflow id."""
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    return {one.id: await stored(client.get_workflow_handle(one.id)) async for one in client.list_workflows()}


async def stored(handle: WorkflowHandle[Any, Any]) -> bytes:
    """A history without the names of patches, which the SDK itself writes, in clear."""
    events = [event async for event in handle.fetch_history_events()]
    return b"".join(event.SerializeToString() for event in events if event.event_type not in BY_THE_SDK)


def test_no_history_has_a_name_or_a_message_in_plain_text(
    settings: Settings, store: Store, handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKHEAD_PAYLOAD_KEYS", ONE)
    monkeypatch.setenv("TEMPORAL_ADDRESS", settings.temporal_address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", settings.temporal_namespace)
    secret = settings.model_copy(update={"payload_keys": ONE})
    with running_worker(secret), closing(Bulkhead(secret, store)) as bulkhead:
        done = bulkhead.ingest(tree(1000), name="confidential.csv")
        assert done.state is State.SUCCEEDED
        rejected = bulkhead.drop(HEADER + "1,missing,a\n", name="confidential-too.csv", announce=False)
        entity = {"bucket": {"name": store.bucket}, "object": {"key": rejected}}
        assert handler.handle({"Records": [{"eventName": "ObjectCreated:Put", "s3": entity}]}, None) == {"announced": 1}
        assert bulkhead.import_of(rejected).state is State.REJECTED
    found = asyncio.run(histories(settings))
    assert {"ingest/records", f"import/{done.id}"} <= set(found)
    assert b"binary/encrypted" in found["ingest/records"]
    for workflow_id, events in found.items():
        words = events.replace(b"ingest/records", b"")  # ids of workflows stay readable
        clear = rb"confidential|incoming/|json/plain|1 error|missing|" + store.bucket.encode()
        assert re.findall(clear, words) == [], workflow_id
    assert dataset_of(rejected) == "records"


def test_a_run_that_began_without_a_key_goes_on_with_one_and_keys_are_changed_on_the_way(
    settings: Settings, store: Store
) -> None:
    with closing(Bulkhead(settings, store)) as plain, running_worker(settings):
        one = paused_before_loading(plain, tree(1000))
    first = settings.model_copy(update={"payload_keys": ONE})
    with running_worker(first), closing(Bulkhead(first, store)) as bulkhead:
        pause(bulkhead, one.id, wanted=False)
        assert bulkhead.import_of(known(bulkhead, one.id).key).state is State.SUCCEEDED
        two = paused_before_loading(bulkhead, tree(1000, name="m"))
    both = settings.model_copy(update={"payload_keys": f"{OTHER},{ONE}"})
    with running_worker(both), closing(Bulkhead(both, store)) as bulkhead:
        pause(bulkhead, two.id, wanted=False)
        assert bulkhead.import_of(known(bulkhead, two.id).key).state is State.SUCCEEDED
        wait_until(lambda: has_succeeded(bulkhead, two.id))
        without = settings.model_copy(update={"payload_keys": key("k3", "c")})
        with closing(TemporalClient.of(without)) as client, pytest.raises(NotReady, match="encrypted with the key 'k2'"):
            client.progress(two.id)
    events = asyncio.run(histories(settings))[f"import/{two.id}"]
    assert b"k1" in events and b"k2" in events
