"""One shared stack of real servers for the whole run; a database, a bucket and a namespace of its own for each test.

The servers start once, when the first test asks for them, and take two seconds. What isolates the tests from each other is
cheap: a database copied from a migrated template, an empty bucket, a fresh Temporal namespace.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from pipeline.adapters.s3 import Store
from pipeline.local import postgres, seaweedfs, temporal
from pipeline.local.stack import SERVERS, Stack
from pipeline.settings import ROOT, Settings
from pipeline.warehouse import migrate, sql_reader

FOLDERS = ("unit", "integration", "e2e")


def pytest_configure() -> None:
    """A shell that runs the suite in the background has it ignore SIGINT, and so all that the tests start and interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--record-histories`` keeps what the workflow tests play, for the replay test; ``--many`` is for long nights."""
    parser.addoption("--record-histories", action="store_true", help="write tests/histories/*.json anew")
    parser.addoption("--many", type=int, default=1, help="so many times as many random cases")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's kind is the folder it lies in."""
    for item in items:
        for folder in FOLDERS:
            if folder in item.path.parts:
                item.add_marker(folder)


@atexit.register
def be_silent_at_the_end() -> None:
    """DuckDB's bindings list what Python's end finds still alive; pytest's summary is to be the last line."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.close(silence)


@pytest.fixture(scope="session")
def extending() -> dict[str, str]:
    """The examples of docs/extending.md: the file that each is to be, or to be put into, and its text."""
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    return dict(re.findall(r"`([a-z_/]+/[a-z_]+\.[a-z]+)`(?:[^`]*):\n\n```\w+\n(.*?)```", page, re.DOTALL))


@pytest.fixture
def a_root(tmp_path: Path) -> Path:
    """A copy of what the datasets are made of, to add to."""
    for folder in ("expectations", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / "root" / folder)
    return tmp_path / "root"


@pytest.fixture(scope="session")
def handler() -> ModuleType:
    """The Lambda's module; its folder is a keyword, so it cannot be imported by a statement."""
    return importlib.import_module("lambda.handler")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, SeaweedFS and Temporal, in a folder that goes with the run."""
    folder = tempfile.TemporaryDirectory(prefix="bh", ignore_cleanup_errors=True)
    with folder as path, Stack(Path(path), components=SERVERS) as stack:
        yield stack


@pytest.fixture(scope="session")
def template_database(stack: Stack) -> str:
    """A migrated database that is only ever copied."""
    with psycopg.connect(postgres.url(stack.home), autocommit=True) as connection:
        connection.execute("create database template_migrated")
    migrate.migrate(postgres.url(stack.home, "template_migrated"))
    return "template_migrated"


@pytest.fixture
def database(stack: Stack, template_database: str) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(stack.home), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template_database} strategy file_copy")
        for statement in _ROLE_SETTINGS:
            connection.execute(statement.format(role=sql_reader.READER_ROLE, database=name))
        yield postgres.url(stack.home, name)
        connection.execute(f"drop database {name} with (force)")


_ROLE_SETTINGS = (  # these hang on the database's name, so a copy does not bring them along
    "alter role {role} in database {database} set search_path = warehouse",
    "alter role {role} in database {database} set default_transaction_read_only = on",
    "alter role {role} in database {database} set track_activities = off",
    "revoke temporary on database {database} from public",
)


@pytest.fixture
def store(stack: Stack) -> Iterator[Store]:
    """An empty bucket."""
    store = seaweedfs.store(stack.home, f"t-{uuid.uuid4().hex[:12]}")
    store.ensure_bucket()
    yield store
    store.delete_prefix("")
    store._s3.delete_bucket(Bucket=store.bucket)  # SeaweedFS keeps volumes for each bucket, and has only so many


@pytest.fixture
def namespace(stack: Stack) -> str:
    """A fresh Temporal namespace, so that two tests may use the same dataset."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    asyncio.run(_register(temporal.address(stack.home), name))
    return name


async def _register(address: str, namespace: str) -> None:
    client = await Client.connect(address)
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    request = RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
    await client.workflow_service.register_namespace(request)
    for _ in range(200):  # a new namespace is known everywhere a moment later
        try:
            async for _ in (await Client.connect(address, namespace=namespace)).list_workflows(page_size=1):
                pass
            return
        except Exception:
            await asyncio.sleep(0.05)
    raise TimeoutError(f"The namespace {namespace} did not become usable.")


@pytest.fixture
def settings(stack: Stack, database: str, store: Store, namespace: str, tmp_path: Path) -> Settings:
    """Settings of the application on this test's own edges."""
    return Settings(
        home=tmp_path / "home",
        url="http://127.0.0.1:1",
        secret_key="for tests only",
        database_url=database,
        bucket=store.bucket,
        s3_endpoint=seaweedfs.endpoint_url(stack.home),
        s3_access_key=seaweedfs.ACCESS_KEY,
        s3_secret_key=stack.home.secret("s3"),
        temporal_address=temporal.address(stack.home),
        temporal_namespace=namespace,
        task_queue="bulkhead",
    )


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The same settings as an environment, for processes of their own."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BULKHEAD_HOME": str(settings.home),
        "BULKHEAD_BUCKET": settings.bucket,
        "BULKHEAD_SECRET_KEY": settings.secret_key,
        "DATABASE_URL": settings.database_url,
        "AWS_ENDPOINT_URL_S3": str(settings.s3_endpoint),
        "AWS_ACCESS_KEY_ID": str(settings.s3_access_key),
        "AWS_SECRET_ACCESS_KEY": str(settings.s3_secret_key),
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "TEMPORAL_NAMESPACE": settings.temporal_namespace,
    }


@pytest.fixture(scope="session")
def in_ci() -> bool:
    """Whether a missing part of the machine must fail a test rather than skip it."""
    return os.environ.get("CI", "").lower() == "true"
