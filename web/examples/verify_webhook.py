import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

TOLERANCE_SECONDS = 300


def verify(headers: Mapping[str, str], body: bytes, secret: str) -> dict[str, Any]:
    """Return the message. Raises ValueError if it is not signed with the secret, or too old.

    headers: with their names in lower case; body: exactly as received, before any parsing.
    """
    message_id, sent_at = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(sent_at)) > TOLERANCE_SECONDS:
        raise ValueError("The message is older than five minutes, or a clock is wrong.")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    given = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise ValueError("The signature is wrong.")
    message: dict[str, Any] = json.loads(body)
    return message
