"""Begin in AWS: read the secrets from Secrets Manager into the environment, then handle the event (handler.py).

``BULKHEAD_TEMPORAL_SECRET_ARN`` names a secret with a JSON object of variables: ``TEMPORAL_API_KEY``, or
``TEMPORAL_TLS_CLIENT_CERT_DATA`` and ``TEMPORAL_TLS_CLIENT_KEY_DATA``; also ``BULKHEAD_PAYLOAD_KEYS``. So no secret is in the
function's configuration, and a new value needs no deployment (docs/decisions/0034). Without the variable nothing is read.

boto3 is in AWS's runtime and not in the zip.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import handler

SECRET = "BULKHEAD_TEMPORAL_SECRET_ARN"
NAMES = re.compile(r"TEMPORAL_[A-Z_]+|BULKHEAD_PAYLOAD_KEYS")
"""The variables that a secret may set: a secret with others, such as PATH, is for something else."""

_read_from: set[str] = set()
"""The secret that was read, by its ARN: a warm function does not read it again."""


class UnusableSecret(Exception):
    """The secret cannot be used; the message says which one and why, without its values."""


def handle(event: Mapping[str, Any], context: object) -> dict[str, int]:
    """Handle an event as AWS calls it.

    If that fails, the secret is read again for the next event: it may have been rotated.
    """
    if handler.requests_in(event):
        read_secret()
    try:
        return handler.handle(event, context)
    except BaseException:
        _read_from.clear()
        raise


def read_secret() -> None:
    """Put the variables of the secret into the environment, once. Raises UnusableSecret, or what boto3 raises."""
    arn = os.environ.get(SECRET, "")
    if arn and arn not in _read_from:
        os.environ.update(variables_in(_text_of(arn), arn))
        _read_from.add(arn)


def variables_in(text: str, arn: str) -> dict[str, str]:
    """Return the variables in the text of a secret. Raises UnusableSecret."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not given:
        raise UnusableSecret(f'The secret {arn} is no JSON object of variables. Store {{"TEMPORAL_API_KEY": "..."}}.')
    wrong = [name for name, value in given.items() if not NAMES.fullmatch(name) or not isinstance(value, str)]
    if wrong:
        raise UnusableSecret(
            f"The secret {arn} has {', '.join(sorted(wrong))}: only TEMPORAL_... and BULKHEAD_PAYLOAD_KEYS are read, as texts."
        )
    return given


def _text_of(arn: str) -> str:
    import boto3  # it takes a second to import: only where there is a secret
    from botocore.config import Config

    region = arn.split(":")[3] if arn.count(":") >= 6 else None
    # The function has 30 s, and signals Temporal after this.
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    client = boto3.client("secretsmanager", region_name=region, config=config)
    return str(client.get_secret_value(SecretId=arn).get("SecretString", ""))
