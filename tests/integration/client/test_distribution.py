"""The distribution bulkhead-client: installed alone, it uploads to a real server, and runs the programs of the guides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from pipeline.client.default_server import default_server
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from tests.support.client_package import build, install
from tests.support.event_relay import relayed_events
from tests.support.guides import programs
from tests.support.threaded_server import serving
from tests.support.web_app import Server
from tests.support.workers import running_worker
from web.app_context import AppContext

pytestmark = pytest.mark.together

ROOT = Path(__file__).resolve().parents[3]
OURS = ("BULKHEAD_", "AWS_", "TEMPORAL_", "DATABASE_", "PYTHON")
Run = Callable[..., str]

UPLOAD = """
import json, sys
from pathlib import Path
from bulkhead_client import ApiError, Client, Options

server = Client()
made = server.upload("places.csv", "places", options=Options(clean={"trim": True}))
large = server.upload(Path("places.csv"), "places", direct=True, options=Options(dry_run=True, force=True))
ended = [server.wait(one, timeout=360) for one in (made, large)]
codes = [found["code"] for found in server.errors(server.wait(server.upload("wrong.csv", "places"), timeout=360)["id"])]
with server.export("places", "csv") as file:
    exported = b"".join(file).decode()
try:
    Client(server.url, "bk_wrong").datasets()
except ApiError as error:
    refused = error.code
print(json.dumps([[one["state"] for one in ended], codes, "FR,,France" in exported, refused, sorted(sys.modules)]))
"""
TYPED = """
from bulkhead_client import Client, ImportJson, Options

made: ImportJson = Client("http://127.0.0.1:1", "k").upload("a.csv", "places", options=Options(dry_run=True))
wrong: int = Client("http://127.0.0.1:1", "k").url
Client("http://127.0.0.1:1", "k").upload("a.csv", "places", option=1)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the client alone."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture
def server(settings: Settings, keys: ApiKeys, tmp_path: Path) -> Iterator[Server]:
    """The app in a thread, with an uploader's key."""
    with serving(settings) as url:
        yield Server(url, keys.create("a test", Role.UPLOADER)[0], os.getpid(), tmp_path / "server.log")


@pytest.fixture
def run(python: Path, server: Server, tmp_path: Path) -> Run:
    """Runs a program with the client, in a folder of its own, and returns what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = {**kept, "BULKHEAD_URL": server.url, "BULKHEAD_API_KEY": server.key, "XDG_STATE_HOME": str(tmp_path)}

    def run(program: str) -> str:
        done = subprocess.run(
            [python, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_has_its_types_its_licence_and_nothing_of_the_server(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "bulkhead_client/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    own = {name for name in names if ".dist-info/" not in name}
    expected = {f"bulkhead_client/{file.name}" for file in (ROOT / "pipeline" / "client").glob("*.py")}
    assert expected <= own
    others = {"errors.py", "py.typed", *(f"contracts/{name}.py" for name in ("__init__", "audits", "options", "states"))}
    assert own - expected == {f"bulkhead_client/{name}" for name in others}, "the client imports more than it did: is it small?"
    texts = [zipfile.ZipFile(wheel).read(name).decode() for name in own]
    assert not [text for text in texts if "from pipeline" in text or "import pipeline" in text]


def test_it_uploads_and_reads_by_itself(run: Run, edges: AppContext, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text("id,parentId,name,kind\nFR,,France,Country\n", encoding="utf-8")
    (tmp_path / "wrong.csv").write_text("id,parentId,name,kind\nXX-1,XX,Nowhere,Region\n", encoding="utf-8")
    with running_worker(settings), relayed_events(edges):
        states, codes, is_exported, refused, modules = json.loads(run(UPLOAD))
    assert states == ["succeeded", "validated"]
    assert codes == ["missing_parent"]
    assert is_exported
    assert refused == "unauthorized"
    assert not {"pipeline", "pydantic", "flask", "temporalio", "duckdb"} & set(modules)


def test_the_programs_of_the_guides_run(
    run: Run, server: Server, edges: AppContext, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "example.csv").write_text("id,parentId,name,kind\nFR,,France,Country\n", encoding="utf-8")
    printed = {}
    with running_worker(settings), relayed_events(edges):
        for guide in ("quick-start", "events", "idempotency", "paging", "errors"):
            found = programs(requests.get(f"{server.url}/docs/{guide}", timeout=300).text, "python")
            assert found, f"{guide} has no program"
            printed[guide] = "".join(map(run, found))
    assert printed["quick-start"].startswith("validated ")
    assert "validated" in printed["events"]
    assert printed["idempotency"] == "True\n"
    assert "validated" in printed["paging"] and printed["paging"].endswith(" bytes\n")
    assert printed["errors"].startswith("unknown_import ")


def test_a_type_checker_sees_its_types(python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TYPED, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", python, "--cache-dir", tmp_path / "cache", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "[import" not in checked.stdout, checked.stdout
    assert [line.rpartition("[")[2] for line in checked.stdout.splitlines() if "error:" in line] == ["assignment]", "call-arg]"]


def test_it_finds_the_server_as_the_settings_do(
    python: Path, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("bk_of_a_file\n", encoding="utf-8")
    authority = tmp_path / "ca.pem"
    authority.touch()
    own = {"BULKHEAD_URL": "https://bulkhead.example", "BULKHEAD_CA_CERTIFICATE": str(authority)}
    for given in ({**own, "BULKHEAD_API_KEY_FILE": str(key)}, {**own, "BULKHEAD_API_KEY": "bk_1"}):
        monkeypatch.delenv("BULKHEAD_API_KEY", raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        program = "from bulkhead_client.default_server import default_server; print(list(default_server()))"
        found = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout
        assert found == f"{list(default_server())}\n"
        monkeypatch.delenv("BULKHEAD_API_KEY_FILE", raising=False)
