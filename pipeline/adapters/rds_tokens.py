"""Tokens of AWS IAM that take the place of a password on RDS and Aurora.

A token is a signed URL; it is made here, without a request, and is valid for 15 minutes, for connecting only: a connection
outlives it. https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.errors import SystemFault

RENEW_SECONDS = 300.0
"""A token is used for new connections for so long. It ends with the credentials that signed it, which may be soon."""

_lock = threading.Lock()
_made: dict[tuple[RdsTokens, str, int, str], tuple[str, float]] = {}


@dataclass(frozen=True)
class RdsTokens:
    """Makes tokens with these credentials; None: those of the process's role, which boto3 finds and renews."""

    region: str
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None

    def token(self, host: str, port: int, user: str) -> str:
        """Return a token of at most RENEW_SECONDS of age. Raises SystemFault if there are no credentials to sign it with."""
        asked = (self, host, port, user)
        with _lock:
            token, made_at = _made.get(asked, ("", 0.0))
            if not token or time.monotonic() - made_at > RENEW_SECONDS:
                token = self._new(host, port, user)
                _made[asked] = (token, time.monotonic())
            return token

    def forget(self) -> None:
        """Have every next token be a new one."""
        with _lock:
            for asked in [asked for asked in _made if asked[0] == self]:
                del _made[asked]

    def _new(self, host: str, port: int, user: str) -> str:
        from botocore.exceptions import BotoCoreError

        try:
            token: str = _client(self).generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        except BotoCoreError as error:
            raise SystemFault(
                f"No token for PostgreSQL (BULKHEAD_DATABASE_IAM=aws) can be made for {user} at {host}:"
                f" {str(error).rstrip('.')}. Give the process a role with rds-db:connect, or set the AWS_* keys."
            ) from error
        return token


@lru_cache(maxsize=8)
def _client(tokens: RdsTokens) -> Any:
    import boto3  # heavy, and only a database with tokens needs it here

    return boto3.Session(tokens.access_key, tokens.secret_key, tokens.session_token, tokens.region).client("rds")
