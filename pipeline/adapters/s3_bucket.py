"""One bucket of S3: the boto3 clients that reach it, the addresses they sign for, and whether S3 answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from pipeline.adapters.liveness import Liveness
from pipeline.adapters.s3_errors import SilentS3, status_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_SECONDS = 30
"""How long S3 may say nothing before a request is tried again."""


class Bucket:
    """The clients of one bucket: ``_s3`` for whole files, ``_quick`` for answers that people wait for, ``_signer`` for URLs."""

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None = None,
        public_endpoint: str | None = None,
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        answer_seconds: float | None = None,
        attempts: int = 5,
    ) -> None:
        self.bucket = bucket

        def client(
            address: str | None, style: Literal["auto", "virtual"] = "auto", *, seconds: float | None = None
        ) -> S3Client:
            return boto3.client(
                "s3",
                endpoint_url=address,
                region_name=region,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                aws_session_token=session_token,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path" if address else style},
                    connect_timeout=seconds or 5,
                    read_timeout=seconds or READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 3 if seconds else attempts},
                    max_pool_connections=20,
                ),
            )

        self._s3 = self._quick = client(endpoint)
        self._prober: Callable[[], S3Client] = lambda: client(endpoint, seconds=1.0)
        self.liveness = Liveness(self._answers)
        if answer_seconds is not None:
            self._quick = client(endpoint, seconds=answer_seconds)
            self._give_up_when_silent(answer_seconds)
        # The signer sends nothing. On AWS its URLs name the bucket's region: no browser follows a redirect to another host.
        is_same = endpoint and not public_endpoint
        self._signer = self._s3 if is_same else client(public_endpoint, "auto" if "." in bucket else "virtual")

    @cached_property
    def _probing(self) -> S3Client:
        return self._prober()

    def _answers(self) -> bool:
        """Return whether all is well with S3. Raises TimeoutError if it says nothing."""
        try:
            self._probing.head_object(Bucket=self.bucket, Key="readyz")
        except (ReadTimeoutError, ConnectTimeoutError) as error:
            raise TimeoutError from error
        except ClientError as error:
            return status_of(error) == 404
        return True

    def _give_up_when_silent(self, answer_seconds: float) -> None:
        """Have both clients report time-outs to the Liveness, and send nothing while S3 is silent."""

        def refuse(**_: Any) -> None:
            if self.liveness.silent:
                raise SilentS3

        def note(caught_exception: Exception | None = None, **_: Any) -> None:
            if isinstance(caught_exception, ReadTimeoutError | ConnectTimeoutError):
                self.liveness.suspect()

        def give_up(caught_exception: Exception | None = None, **_: Any) -> None:
            if isinstance(caught_exception, ReadTimeoutError | ConnectTimeoutError):
                self.liveness.suspect(waited=answer_seconds)
                raise caught_exception

        for s3, after in ((self._s3, note), (self._quick, give_up)):
            events: Any = s3.meta.events
            events.register("before-send.s3", refuse)
            events.register_first("needs-retry.s3", after)
