"""One shared stack of real servers for the whole run; a database, a bucket and a namespace of its own for each test.

The servers start once, when the first test of any process asks for them (support/shared_stack.py). What isolates the tests
from each other is cheap: a database copied from a migrated template, an empty bucket, a fresh Temporal namespace.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from pipeline import processes
from pipeline.adapters.s3 import Store
from pipeline.local import postgres, seaweedfs, temporal
from pipeline.settings import ROOT, Settings
from pipeline.warehouse import migrate, sql_reader

pytest.register_assert_rewrite("tests.support")  # before any module of it is imported

from tests.support import shared_stack  # noqa: E402
from tests.support.compiled_once import compile_once  # noqa: E402
from tests.support.histories import Histories  # noqa: E402
from tests.support.memory_folder import in_memory  # noqa: E402
from tests.support.postgresql import Server, postgresql_15, postgresql_18  # noqa: E402
from tests.support.shared_stack import SharedStack  # noqa: E402
from tests.support.temporal_namespace import end_workflows, register_namespace  # noqa: E402
from tests.support.temporal_server import temporal_server  # noqa: E402
from tests.support.turns import turn  # noqa: E402

pytest_plugins = ("tests.support.schedule",)

FOLDERS = ("unit", "integration", "e2e")


RUN_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Have all processes of the run meet in one folder, whose path is short: the servers' own paths have limits.

    A shell that runs the suite in the background has it ignore SIGINT, and so all that the tests start and interrupt.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    compile_once()
    os.environ["BULKHEAD_WARM_SECONDS"] = "0"  # what a test starts ends with it
    given = os.environ.get("TEST_RUN_FOLDER")
    memory = in_memory() if given is None else None
    config.stash[RUN_FOLDER] = folder = Path(given or tempfile.mkdtemp(prefix="bh-", dir=memory))
    if given is None:
        os.environ["TEST_RUN_FOLDER"] = str(folder)  # for the workers
        if memory:
            _keep_temporary_files_in(folder / "t")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def _keep_temporary_files_in(folder: Path) -> None:
    """Have this process, and those that it starts, make temporary files in this folder, which goes with the run's."""
    folder.mkdir()
    folder.chmod(0o1777)
    folder.parent.chmod(0o711)  # servers run as another user
    os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
    tempfile.tempdir = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--record-histories`` keeps what the workflow tests play, for the replay test; ``--many`` is for long nights."""
    parser.addoption("--thorough", action="store_true", help="run the tests marked thorough, too, as every night")
    parser.addoption("--record-histories", action="store_true", help="write tests/histories/next/*.json")
    parser.addoption("--many", type=int, default=1, help="so many times as many random cases")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests stay until the end: the garbage collector need not look at them, neither as they come nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test's kind is the folder it lies in. Beside each other, what takes long begins first, and what is alone comes last."""
    for item in items:
        for folder in FOLDERS:
            if folder in item.path.parts:
                item.add_marker(folder)
    if not config.getoption("--thorough"):
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    if hasattr(config, "workerinput"):
        items.sort(key=_when)


def _when(item: pytest.Item) -> int:
    if item.get_closest_marker("alone"):
        return 2
    return 0 if item.get_closest_marker("early") else 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Outside of the test's timeout, wait for its turn."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with turn(item.config.stash[RUN_FOLDER], alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture
def short_folder(pytestconfig: pytest.Config) -> Iterator[Path]:
    """A folder for sockets, whose paths may have 107 bytes; ``tmp_path`` may be longer."""
    with tempfile.TemporaryDirectory(prefix="", dir=pytestconfig.stash[RUN_FOLDER]) as folder:
        yield Path(folder)


@atexit.register
def be_silent_at_the_end() -> None:
    """DuckDB's bindings list what Python's end finds still alive; pytest's summary is to be the last line."""
    processes.silence(2)


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
def stack(pytestconfig: pytest.Config) -> Iterator[SharedStack]:
    """PostgreSQL, SeaweedFS and Temporal, in a folder that goes with the run."""
    with shared_stack.joined(pytestconfig.stash[RUN_FOLDER] / "s") as stack:
        yield stack


TEMPLATE = "template_migrated"


@pytest.fixture(scope="session")
def template_database(stack: SharedStack) -> str:
    """A migrated database that is only ever copied."""
    with stack.once(TEMPLATE):
        _make_template(partial(postgres.url, stack.home))
    return TEMPLATE


def _make_template(url: Callable[[str], str]) -> None:
    with psycopg.connect(url("postgres"), autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (TEMPLATE,)).fetchone():
            connection.execute("drop database if exists template_begun with (force)")
            connection.execute("create database template_begun")
            migrate.migrate(url("template_begun"))
            connection.execute(f"alter database template_begun rename to {TEMPLATE}")


@pytest.fixture(scope="session")
def oldest_postgres() -> Iterator[Server]:
    """A server of the oldest version that is supported, with the template."""
    with postgresql_15() as server:
        _make_template(server.url)
        yield server


@pytest.fixture(scope="session")
def newest_postgres() -> Iterator[Server]:
    """A server of the newest version that is supported, with the template."""
    with postgresql_18() as server:
        _make_template(server.url)
        yield server


@pytest.fixture
def server_url(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Returns the URL of a database by its name, on the embedded stack's PostgreSQL, or on the version that is asked for."""
    version = getattr(request, "param", os.environ.get("TEST_POSTGRES", "embedded"))
    if version in ("oldest", "newest"):
        server: Server = request.getfixturevalue(f"{version}_postgres")
        return server.url
    request.getfixturevalue("template_database")
    stack: SharedStack = request.getfixturevalue("stack")
    return partial(postgres.url, stack.home)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked for all versions of PostgreSQL on the newest, in a thorough run, and on the oldest one."""
    if metafunc.definition.get_closest_marker("all_versions") and "server_url" in metafunc.fixturenames:
        versions = [pytest.param("newest", marks=pytest.mark.thorough), "oldest"]
        metafunc.parametrize("server_url", versions, indirect=True)


@pytest.fixture
def histories(request: pytest.FixtureRequest) -> Histories:
    """Keeps the histories of workflows, if the run is asked to."""
    return Histories(are_wanted=request.config.getoption("--record-histories"))


@pytest.fixture
def database(server_url: Callable[[str], str]) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
        for statement in _ROLE_SETTINGS:
            connection.execute(statement.format(role=sql_reader.READER_ROLE, database=name))
        yield server_url(name)
        connection.execute(f"drop database {name} with (force)")


_ROLE_SETTINGS = (  # these hang on the database's name, so a copy does not bring them along
    "alter role {role} in database {database} set search_path = warehouse",
    "alter role {role} in database {database} set default_transaction_read_only = on",
    "alter role {role} in database {database} set track_activities = off",
    "revoke temporary on database {database} from public",
)


@pytest.fixture
def store(stack: SharedStack) -> Iterator[Store]:
    """An empty bucket."""
    store = seaweedfs.store(stack.home, f"t-{uuid.uuid4().hex[:12]}")
    store.ensure_bucket()
    yield store
    store.delete_prefix("")
    store._s3.delete_bucket(Bucket=store.bucket)  # SeaweedFS keeps volumes for each bucket, and has only so many


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Temporal server that runs schedules."""
    with temporal_server(tmp_path_factory.mktemp("scheduler")) as address:
        yield address


@pytest.fixture
def temporal_address(stack: SharedStack, request: pytest.FixtureRequest) -> str:
    """The address of the Temporal server: the shared one runs no schedules, so tests marked ``schedules`` have another."""
    if request.node.get_closest_marker("schedules"):
        return str(request.getfixturevalue("scheduler"))
    return temporal.address(stack.home)


@pytest.fixture
def namespace(temporal_address: str) -> Iterator[str]:
    """A fresh Temporal namespace, so that two tests may use the same dataset."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    asyncio.run(register_namespace(temporal_address, name))
    yield name
    asyncio.run(end_workflows(temporal_address, name))


@pytest.fixture
def settings(
    stack: SharedStack,
    database: str,
    store: Store,
    temporal_address: str,
    namespace: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Settings:
    """Settings of the application for this test's own servers, with those that its ``settings`` marker names."""
    marker = request.node.get_closest_marker("settings")
    settings = Settings(
        home=tmp_path / "home",
        url="http://127.0.0.1:1",
        secret_key="for tests only",
        database_url=database,
        bucket=store.bucket,
        s3_endpoint=seaweedfs.endpoint_url(stack.home),
        s3_access_key=seaweedfs.ACCESS_KEY,
        s3_secret_key=stack.home.secret("s3"),
        temporal_address=temporal_address,
        temporal_namespace=namespace,
        task_queue="bulkhead",
    )
    return settings.model_copy(update=marker.kwargs) if marker else settings


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
