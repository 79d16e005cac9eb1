"""The Lambda in AWS: its zip is reproducible and for both processors, takes events of all shapes, and reads its secrets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from temporalio.client import Client, WorkflowHandle
from werkzeug import Request, Response

from pipeline.contracts.workflows import queue_workflow_id
from pipeline.settings import Settings
from tests.support.lambda_emulator import Invoke, build, emulated

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("zip") / "lambda.zip")


def test_the_same_sources_give_the_same_zip_at_another_time_in_another_folder(built: Path, tmp_path: Path) -> None:
    for folder in ("lambda", "pipeline"):
        shutil.copytree(ROOT / folder, tmp_path / "elsewhere" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (tmp_path / "elsewhere").glob("**/*.py"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
        file.chmod(0o600)
    again = build(tmp_path / "again.zip", root=tmp_path / "elsewhere")
    assert again.read_bytes() == built.read_bytes()


MACHINES = {"arm64": 183, "x86_64": 62}
"""How an ELF file names the processors (e_machine): EM_AARCH64, EM_X86_64."""


@pytest.mark.parametrize("architecture", MACHINES)
def test_the_zip_for_other_processors(architecture: str, built: Path, tmp_path: Path) -> None:
    packages = Path(sys.prefix) / f"lambda-{architecture}"
    if not packages.exists():
        pytest.skip(f"{packages.name} is not there; `make setup` fetches it")
    with zipfile.ZipFile(build(tmp_path / "lambda.zip", packages=packages)) as archive, zipfile.ZipFile(built) as here:
        compiled = {name: archive.read(name) for name in archive.namelist() if name.endswith(".so")}
        pure, expected = ({name for name in one.namelist() if name.endswith(".py")} for one in (archive, here))
    assert pure == expected
    assert len(compiled) >= 2
    for name, content in compiled.items():
        assert content[:6] == b"\x7fELF\x02\x01", f"{name} is no ELF file of 64 bits, little endian"
        assert struct.unpack_from("<H", content, 18) == (MACHINES[architecture],), name


@pytest.fixture
def invoke(built: Path, settings: Settings, tmp_path: Path) -> Iterator[Invoke]:
    """Call the real zip, in an interpreter that has nothing else, through the emulator."""
    environment = {
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "BULKHEAD_TASK_QUEUE": "bulkhead",
    }
    with emulated(built, tmp_path, environment) as call:
        yield call


ANNOUNCED = {
    "put": ["put.csv"],
    "post": ["post.csv"],
    "copy": ["copy.csv"],
    "multipart": ["multipart.csv"],
    "encoded-key": ["a b+c é(100%).csv"],
    "two-records": ["first.csv", "second.csv"],
    "eventbridge-put": ["eventbridge put+%41.csv"],
    "eventbridge-multipart": ["eventbridge-multipart.csv"],
    "eventbridge-copy": ["eventbridge-copy.csv"],
}
"""What each event in tests/samples/lambda_events/ announces; the others nothing."""

MALFORMED = {"malformed-record": "s3", "malformed-detail": "detail"}
"""Events without a field: AWS tries them again and then keeps them as dead letters."""


def test_events_of_all_shapes(invoke: Invoke, settings: Settings) -> None:
    files = sorted((ROOT / "tests" / "samples" / "lambda_events").glob("*.json"))
    assert {*ANNOUNCED, *MALFORMED} < {file.stem for file in files}
    for file in files:
        answer = invoke(json.loads(file.read_text()))
        if file.stem in MALFORMED:
            assert (answer["errorType"], answer["errorMessage"]) == ("KeyError", repr(MALFORMED[file.stem]))
        else:
            assert answer == {"announced": len(ANNOUNCED.get(file.stem, []))}, file.stem
    expected = [f"incoming/places/{name}" for file in files for name in ANNOUNCED.get(file.stem, [])]
    assert asyncio.run(_signals(settings)) == expected


def test_the_secrets_are_read_from_secrets_manager(
    built: Path, settings: Settings, tmp_path: Path, httpserver: HTTPServer
) -> None:
    """The namespace is known from the secret alone: what reaches it shows that the secret was read."""
    secret = {"TEMPORAL_NAMESPACE": settings.temporal_namespace, "TEMPORAL_API_KEY": "a-key"}
    asked: list[Request] = []

    def answer(request: Request) -> Response:
        asked.append(request)
        return Response(json.dumps({"ARN": ARN, "SecretString": json.dumps(secret)}), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/", method="POST").respond_with_handler(answer)
    environment = {
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "TEMPORAL_NAMESPACE": "another",
        "TEMPORAL_TLS": "false",
        "BULKHEAD_TEMPORAL_SECRET_ARN": ARN,
        "BULKHEAD_TASK_QUEUE": "bulkhead",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "of-the-role",
        "AWS_SECRET_ACCESS_KEY": "of-the-role",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": httpserver.url_for("").rstrip("/"),
    }
    with emulated(built, tmp_path, environment, handler="entry.handle", with_boto3=True) as call:
        assert call({"Event": "s3:TestEvent"}) == {"announced": 0}
        assert asked == []
        assert call(put("incoming/places/a.csv")) == {"announced": 1}
        assert call(put("incoming/places/b.csv")) == {"announced": 1}
    assert [json.loads(one.data) for one in asked] == [{"SecretId": ARN}]
    assert asked[0].headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
    assert "/eu-central-1/secretsmanager/aws4_request" in asked[0].headers["Authorization"]
    assert asyncio.run(_signals(settings)) == ["incoming/places/a.csv", "incoming/places/b.csv"]


ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:temporal-AbCdEf"


def put(key: str) -> dict[str, Any]:
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": key}}}]}


async def _signals(settings: Settings) -> list[str]:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(queue_workflow_id("places"))
    events = (await handle.fetch_history()).events
    payloads = [event.workflow_execution_signaled_event_attributes.input.payloads for event in events]
    converter = client.data_converter.payload_converter
    return [converter.from_payload(payload[0], dict)["key"] for payload in payloads if payload]
