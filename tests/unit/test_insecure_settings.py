"""What is insecure in settings, and that nothing is in good ones."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.insecure_settings import insecure_settings
from pipeline.settings import Settings

GOOD: dict[str, Any] = {
    "url": "https://bulkhead.example.org",
    "bind": "0.0.0.0",
    "secret_key": "x" * 32,
    "database_url": "postgresql://app:long-and-random@db.internal/bulkhead?sslmode=verify-full",
    "database_read_url": "postgresql://app:long-and-random@replica.internal/bulkhead?a=b&sslmode=require",
    "s3_endpoint": "https://s3.internal",
    "public_s3_endpoint": "https://files.example.org",
    "s3_access_key": "bulkhead",
    "s3_secret_key": "y" * 32,
    "webhook_urls": ("https://hooks.example.org/bulkhead",),
    "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "smtp_url": "smtps://me:SENTINEL@mail.example.org:465",
}


def found(**changes: Any) -> list[str]:
    faults = insecure_settings(Settings(**{**GOOD, **changes}))
    assert "SENTINEL" not in " ".join(map(str, faults))
    assert all(one.reason.endswith(".") and one.mend for one in faults)
    return [one.name for one in faults]


def test_good_settings_and_an_embedded_stack_have_no_faults() -> None:
    assert found() == []
    assert insecure_settings(Settings(s3_endpoint="http://127.0.0.1:8333", secret_key="short")) == []


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"secret_key": "change-me"}, ["BULKHEAD_SECRET_KEY", "BULKHEAD_SECRET_KEY"]),
        ({"secret_key": "a" * 31}, ["BULKHEAD_SECRET_KEY"]),
        ({"s3_secret_key": "password"}, ["AWS_SECRET_ACCESS_KEY"]),
        ({"s3_secret_key": None}, ["AWS_SECRET_ACCESS_KEY"]),
        ({"database_url": "postgresql://app:postgres@db.internal/x?sslmode=require"}, ["DATABASE_URL"]),
        ({"url": "http://bulkhead.example.org"}, ["BULKHEAD_URL"]),
        ({"database_url": "postgresql://app:SENTINEL@db.internal/x"}, ["DATABASE_URL"]),
        ({"database_url": "postgresql://app:SENTINEL@db.internal/x?sslmode=prefer"}, ["DATABASE_URL"]),
        ({"database_sql_url": "postgresql://app:SENTINEL@db.internal/x?notsslmode=require"}, ["BULKHEAD_SQL_URL"]),
        ({"database_url": "postgresql:///x?host=/run/postgresql"}, []),
        ({"temporal_address": "temporal.internal:7233"}, ["TEMPORAL_ADDRESS"]),
        ({"s3_endpoint": "http://s3.internal:8333"}, ["AWS_ENDPOINT_URL_S3"]),
        ({"public_s3_endpoint": "http://files.example.org"}, ["BULKHEAD_PUBLIC_S3_ENDPOINT"]),
        ({"webhook_allow_private": True}, ["BULKHEAD_WEBHOOK_ALLOW_PRIVATE"]),
        ({"webhook_secret": ""}, ["BULKHEAD_WEBHOOK_SECRET"]),
        ({"webhook_urls": ("http://hooks.example.org/SENTINEL",)}, ["BULKHEAD_WEBHOOK_URLS"]),
        ({"smtp_url": "smtp://me:SENTINEL@mail.example.org:587"}, ["BULKHEAD_SMTP_URL"]),
        ({"smtp_url": "smtp://mail.example.org:25"}, []),
        ({"openlineage_url": "http://lineage.internal", "openlineage_api_key": "SENTINEL"}, ["OPENLINEAGE_URL"]),
        ({"openlineage_url": "http://lineage.internal"}, []),
        ({"requests_per_minute": 0}, ["BULKHEAD_REQUESTS_PER_MINUTE"]),
    ],
)
def test_what_is_insecure_is_named_and_its_value_is_not(changes: dict[str, Any], names: list[str]) -> None:
    assert found(**changes) == names
