"""The Lambda's beginning in AWS: the secret is read once, again after a failure, and only what belongs in it."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

EVENT = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "incoming/p/a"}}}]}


@pytest.fixture
def entry(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, as it is in the zip: beside the handler, which announces nothing here."""
    monkeypatch.setitem(sys.modules, "handler", handler)
    monkeypatch.setattr(handler, "handle", lambda event, context: {"announced": len(handler.requests_in(event))})
    for name in ("TEMPORAL_API_KEY", "BULKHEAD_TEMPORAL_SECRET_ARN"):
        monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    module = importlib.import_module("lambda.entry")
    yield module
    module._read_from.clear()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager, with the secret that the function is told of."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-central-1")
        arn = client.create_secret(Name="temporal", SecretString=json.dumps({"TEMPORAL_API_KEY": "first"}))["ARN"]
        monkeypatch.setenv("BULKHEAD_TEMPORAL_SECRET_ARN", arn)
        yield client


def test_the_secret_is_read_once(entry: ModuleType, secrets: Any) -> None:
    assert entry.handle(EVENT, None) == {"announced": 1}
    assert os.environ["TEMPORAL_API_KEY"] == "first"
    secrets.put_secret_value(SecretId="temporal", SecretString=json.dumps({"TEMPORAL_API_KEY": "second"}))
    assert entry.handle(EVENT, None) == {"announced": 1}
    assert os.environ["TEMPORAL_API_KEY"] == "first"


def test_after_a_failure_it_is_read_again(
    entry: ModuleType, secrets: Any, handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry.handle(EVENT, None)
    secrets.put_secret_value(SecretId="temporal", SecretString=json.dumps({"TEMPORAL_API_KEY": "second"}))

    def refused(event: Any, context: object) -> dict[str, int]:
        raise RuntimeError("Temporal refuses the API key")

    with monkeypatch.context() as patch:
        patch.setattr(handler, "handle", refused)
        with pytest.raises(RuntimeError, match="refuses"):
            entry.handle(EVENT, None)
    assert entry.handle(EVENT, None) == {"announced": 1}
    assert os.environ["TEMPORAL_API_KEY"] == "second"


def test_an_event_without_a_file_reads_no_secret(entry: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_TEMPORAL_SECRET_ARN", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:none")
    assert entry.handle({"Event": "s3:TestEvent"}, None) == {"announced": 0}


def test_without_a_secret_nothing_is_read(entry: ModuleType) -> None:
    assert entry.handle(EVENT, None) == {"announced": 1}
    assert os.environ["TEMPORAL_API_KEY"] == ""


def test_a_missing_secret_is_an_error_that_aws_tries_again(entry: ModuleType, secrets: Any) -> None:
    secrets.delete_secret(SecretId="temporal", ForceDeleteWithoutRecovery=True)
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        entry.handle(EVENT, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a-key", "is no JSON object"),
        ("", "is no JSON object"),
        ("[]", "is no JSON object"),
        ("{}", "is no JSON object"),
        ('{"PATH": "x"}', "has PATH"),
        ('{"TEMPORAL_API_KEY": 7}', "has TEMPORAL_API_KEY"),
        ('{"TEMPORAL_API_KEY": "k", "LD_PRELOAD": "x", "AWS_REGION": "x"}', "has AWS_REGION, LD_PRELOAD"),
    ],
)
def test_another_secret_is_refused_by_name_and_without_its_values(entry: ModuleType, text: str, message: str) -> None:
    with pytest.raises(entry.UnusableSecret, match=message) as told:
        entry.variables_in(text, "arn:of-the-secret")
    assert "arn:of-the-secret" in str(told.value)
    assert "a-key" not in str(told.value).replace("TEMPORAL_API_KEY", "")


def test_the_variables_of_temporal_and_the_keys_of_payloads_are_taken(entry: ModuleType) -> None:
    given = {"TEMPORAL_TLS_CLIENT_CERT_DATA": "c", "TEMPORAL_TLS_CLIENT_KEY_DATA": "k", "BULKHEAD_PAYLOAD_KEYS": "1:a"}
    assert entry.variables_in(json.dumps(given), "arn") == given
