"""The Lambda's zip: it holds only what it needs, and works under AWS's own runtime interface emulator."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from temporalio.client import Client, WorkflowHandle

from pipeline.contracts.workflows import queue_workflow_id
from pipeline.local import ports
from pipeline.settings import Settings
from pipeline.temporal_access.payload_codec import EncryptionCodec, keys_in

ROOT = Path(__file__).resolve().parents[3]
EMULATOR = Path(sys.prefix) / "emulator" / "samcli" / "local" / "rapid" / "aws-lambda-rie-x86_64"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("zip") / "lambda.zip"
    subprocess.run([sys.executable, "lambda/build.py", target], cwd=ROOT, check=True, capture_output=True)
    return target


def test_the_zip_holds_only_what_the_handler_needs(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names = [name for name in archive.namelist() if name != "entry.py"]  # test_lambda_in_aws.py
    assert {"handler.py", "pipeline/__init__.py", "pipeline/contracts/messages.py"} <= set(names)
    assert {name.partition("/")[0] for name in names} <= {
        *("handler.py", "pipeline", "temporalio", "google", "nexusrpc", "typing_extensions.py", "dateutil", "six.py"),
        *("cryptography", *(name for name in names if name.startswith("_cffi_backend."))),
    }
    packages = ("contracts", "temporal_access")
    assert {name for name in names if name.startswith("pipeline/")} == {
        *("pipeline/__init__.py", "pipeline/errors.py"),
        *(f"pipeline/{one}/{file.name}" for one in packages for file in (ROOT / "pipeline" / one).glob("*.py")),
    }
    assert built.stat().st_size < 30 << 20, "Lambda takes 50 MB"


def test_the_same_sources_give_the_same_zip(built: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "lambda/build.py", tmp_path / "again.zip"], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "again.zip").read_bytes() == built.read_bytes()


@pytest.fixture
def invoke(built: Path, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Call the real zip, in an interpreter that has nothing else, through the emulator; with variables of the test's own."""
    folder = tmp_path / "task"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder)
    runtime = tmp_path / "runtime.py"
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    for name in ("awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson"):
        for found in site.glob(f"{name}*"):
            (folder / found.name).symlink_to(found)
    runtime.write_text("import sys; from awslambdaric import __main__ as m; m.main(['', 'handler.handle'])")
    port, inner = ports.choose(9100), ports.choose(9200)
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(folder),
        "LAMBDA_TASK_ROOT": str(folder),
        "AWS_LAMBDA_FUNCTION_NAME": "bulkhead",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{inner}",
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "BULKHEAD_TASK_QUEUE": "bulkhead",
        **getattr(request, "param", {}),
    }
    log = (tmp_path / "emulator.log").open("wb")
    process = subprocess.Popen(
        [
            str(EMULATOR),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{inner}"),
            *(sys.executable, "-S", str(runtime)),
        ],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
    )

    def call(event: dict[str, Any]) -> Any:
        for _ in range(100):
            try:
                return requests.post(
                    f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations", json=event, timeout=300
                ).json()
            except requests.ConnectionError:
                assert process.poll() is None, (tmp_path / "emulator.log").read_text()
                time.sleep(0.1)
        raise AssertionError("the emulator does not answer")

    yield call
    process.terminate()
    process.wait(60)
    log.close()


def put(key: str) -> dict[str, Any]:
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": key}}}]}


def test_an_event_starts_the_datasets_queue_in_temporal(invoke: Any, settings: Settings) -> None:
    assert invoke({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == {"announced": 0}
    assert invoke(put("results/a.csv")) == {"announced": 0}
    assert invoke(put("incoming/places/a+b.csv")) == {"announced": 1}
    assert invoke(put("incoming/places/c.csv")) == {"announced": 1}
    assert asyncio.run(_signals(settings)) == ["incoming/places/a b.csv", "incoming/places/c.csv"]


KEYS = "k1:" + base64.b64encode(b"a" * 32).decode()


@pytest.mark.parametrize("invoke", [{"BULKHEAD_PAYLOAD_KEYS": KEYS}], indirect=True, ids=["with a key"])
def test_the_zip_can_encrypt_what_it_sends(invoke: Any, settings: Settings) -> None:
    assert invoke(put("incoming/places/c.csv")) == {"announced": 1}
    with pytest.raises(KeyError, match="binary/encrypted"):
        asyncio.run(_signals(settings))
    assert asyncio.run(_signals(settings, KEYS)) == ["incoming/places/c.csv"]


async def _signals(settings: Settings, keys: str = "") -> list[str]:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(queue_workflow_id("places"))
    events = (await handle.fetch_history()).events
    payloads = [event.workflow_execution_signaled_event_attributes.input.payloads for event in events]
    if keys:
        payloads = [await EncryptionCodec(keys_in(keys)).decode(some) for some in payloads]  # type: ignore[misc]
    converter = client.data_converter.payload_converter
    return [converter.from_payload(payload[0], dict)["key"] for payload in payloads if payload]
