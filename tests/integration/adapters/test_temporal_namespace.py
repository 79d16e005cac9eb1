"""What `bulkhead migrate` makes in a Temporal namespace: schedules and search attributes, once, and as the settings say."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.adapters.temporal_namespace import has_search_attributes, make_search_attributes
from pipeline.contracts.states import State
from pipeline.contracts.workflows import DATASET_ATTRIBUTE
from pipeline.errors import NotReady
from pipeline.settings import ROOT, Settings
from tests.support.bulkhead import HEADER, Bulkhead
from tests.support.waiting import wait_until
from tests.support.workers import running_worker


def migrated(environment: dict[str, str], **variables: str) -> tuple[dict[str, list[str]], str]:
    """Run `bulkhead migrate --json`; return what it did in Temporal, and what it said."""
    command = [sys.executable, "-m", "pipeline.cli", "migrate", "--json"]
    done = subprocess.run(command, env={**environment, **variables}, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = {one["what"]: one["done"] for one in json.loads(done.stdout)}
    return {what: done for what, done in lines.items() if what.startswith(("schedule ", "search "))}, done.stderr


@pytest.mark.schedules
def test_migrate_makes_schedules_and_search_attributes_once(environment: dict[str, str], namespace: str) -> None:
    attributes = f"search attributes of namespace {namespace}"
    made = {"schedule reconcile": ["created"], "schedule clean": ["created"], attributes: ["created"]}
    assert migrated(environment)[0] == made
    assert migrated(environment)[0] == {what: [] for what in made}
    changed = migrated(environment, BULKHEAD_CLEAN_SECONDS="7200")[0]
    assert changed == {"schedule reconcile": [], "schedule clean": ["changed"], attributes: []}


def test_migrate_without_temporal_migrates_and_says_what_is_left(environment: dict[str, str]) -> None:
    done, said = migrated(environment, TEMPORAL_ADDRESS="127.0.0.1:1")
    assert done == {}
    assert "schedules and search attributes were not checked; a worker does it when it starts." in " ".join(said.split())


def test_imports_are_found_in_temporal_by_their_dataset(settings: Settings, store: Store) -> None:
    with closing(TemporalClient.of(settings)) as temporal:
        assert temporal.is_searchable() is False
        assert temporal.make_search_attributes() is True
        assert temporal.make_search_attributes() is False
    found: list[str] = []

    async def search() -> list[str]:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        return [one.id async for one in client.list_workflows(f"{DATASET_ATTRIBUTE} = 'records'")]

    def is_there() -> bool:
        found[:] = asyncio.run(search())
        return bool(found)

    with running_worker(settings), closing(Bulkhead(settings, store)) as bulkhead:
        done = bulkhead.ingest(HEADER + "1,,a\n")
        assert done.state is State.SUCCEEDED
        wait_until(is_there)
    assert found == [f"import/{done.id}"]


def test_an_attribute_of_another_type_is_named(settings: Settings) -> None:
    async def story() -> None:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        number = IndexedValueType.INDEXED_VALUE_TYPE_INT
        request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes={DATASET_ATTRIBUTE: number})
        await client.operator_service.add_search_attributes(request)
        assert await has_search_attributes(client) is False
        with pytest.raises(NotReady, match=f"{DATASET_ATTRIBUTE} of namespace .* is not of type Keyword"):
            await make_search_attributes(client)

    asyncio.run(story())


@pytest.mark.parametrize("status", [RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
def test_a_server_that_leaves_it_to_operators_as_temporal_cloud_does(status: RPCStatusCode) -> None:
    """A double of the server: the development server refuses no operator."""

    async def refuse(*_: object, **__: object) -> None:
        raise RPCError("refused", status, b"")

    service = SimpleNamespace(list_search_attributes=refuse, add_search_attributes=refuse)
    client: Any = SimpleNamespace(namespace="prod.acme", operator_service=service)
    assert asyncio.run(has_search_attributes(client)) is False
    with pytest.raises(NotReady, match=r"create it by hand\. Temporal Cloud: the namespace's page, Edit, Search Attributes"):
        asyncio.run(make_search_attributes(client))
