"""Bytes into S3: by boto3 itself, as a body through the API, and straight from the client by signed parts; all on one stack.

The floor is boto3's own upload of the same file to the same SeaweedFS. The web app's memory is looked at all the while, over
all its processes, each page counted once (Pss). Nothing is imported: each upload is canceled and removed when it is whole.

    python -m benchmarks.uploads [--megabytes 2000] [--rounds 3] [--keep FILE]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import requests

from benchmarks import data, measure
from benchmarks.scale import Watch, a_stack
from pipeline.client.api import Client
from pipeline.local.stack import Stack
from pipeline.settings import ROOT
from pipeline.units import MIB

PART_BYTES = 16 * MIB
AT_ONCE = 4
BLOCK = 1 * MIB


class Ways:
    """The ways of one file into one S3."""

    def __init__(self, stack: Stack, file: Path) -> None:
        self._file = file
        self._url = stack.environment["BULKHEAD_URL"]
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {stack.environment['BULKHEAD_API_KEY']}"
        self._client = Client(self._url, stack.environment["BULKHEAD_API_KEY"])
        self._bucket = stack.environment["BULKHEAD_BUCKET"]
        self._s3 = boto3.client(
            "s3",
            endpoint_url=stack.environment["AWS_ENDPOINT_URL_S3"],
            region_name=stack.environment["AWS_REGION"],
            aws_access_key_id=stack.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=stack.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def boto3(self) -> float:
        """Seconds of ``upload_file`` with boto3's own defaults."""
        began = time.perf_counter()
        self._s3.upload_file(str(self._file), self._bucket, "bench/direct")
        seconds = time.perf_counter() - began
        self._s3.delete_object(Bucket=self._bucket, Key="bench/direct")
        return seconds

    def body(self) -> float:
        """Seconds until the API has acknowledged a bare body."""
        began = time.perf_counter()
        made = self._client.upload(self._file, data.DATASET)
        seconds = time.perf_counter() - began
        self._drop(made["id"])
        return seconds

    def signed(self) -> float:
        """Seconds from opening an upload to completing it, with four parts at once on their way."""
        began = time.perf_counter()
        opened = self._ask("POST", "/s3/multipart", json={"filename": "a.csv", "metadata": {"dataset": data.DATASET}})
        numbers = range(1, -(-self._file.stat().st_size // PART_BYTES) + 1)
        at = f"/s3/multipart/{opened['uploadId']}"
        with ThreadPoolExecutor(AT_ONCE) as pool:
            parts = list(pool.map(lambda number: self._part(at, opened["key"], number), numbers))
        made = self._ask("POST", f"{at}/complete", params={"key": opened["key"]}, json={"parts": parts})
        seconds = time.perf_counter() - began
        self._drop(made["id"])
        return seconds

    def _drop(self, import_id: str) -> None:
        one = self._client.cancel(import_id)
        self._client.wait(import_id, timeout=60)
        self._s3.delete_object(Bucket=self._bucket, Key=one["source"]["key"])

    def _part(self, at: str, key: str, number: int) -> dict[str, Any]:
        with self._file.open("rb") as file:
            file.seek((number - 1) * PART_BYTES)
            body = file.read(PART_BYTES)
        url = self._ask("GET", f"{at}/{number}", params={"key": key})["url"]
        answer = requests.put(url, data=body, timeout=60)
        answer.raise_for_status()
        return {"PartNumber": number, "ETag": answer.headers["ETag"]}

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self._session.request(method, self._url + path, timeout=60, **options)
        answer.raise_for_status()
        return answer.json()


def measured(megabytes: int, rounds: int) -> dict[str, Any]:
    """Seconds, megabytes a second and the share of the floor's speed, of each way."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        file = _file(folder / "upload.csv", megabytes)
        with a_stack(folder / "home", folder / "root") as stack:
            ways = Ways(stack, file)
            kinds: dict[str, Callable[[], float]] = {"boto3": ways.boto3, "API body": ways.body, "signed parts": ways.signed}
            watch = Watch(stack)
            watch.start()
            seconds = measure.alternating(rounds, **kinds)
            web = watch.stop()["web"].pss
    return {
        "megabytes": megabytes,
        "rounds": rounds,
        "web_pss_mb": web and round(web / 1e6),
        "ways": {
            name: {
                "seconds": round(one, 2),
                "megabytes_per_second": round(megabytes / one, 1),
                "share_of_boto3": round(seconds["boto3"] / one, 2),
            }
            for name, one in seconds.items()
        },
    }


def _file(to: Path, megabytes: int) -> Path:
    """So many megabytes that no compression and no cache makes shorter."""
    with to.open("wb") as file:
        file.write(b"id,parentId\n")
        left = megabytes * 1_000_000 - file.tell()
        while left > 0:
            file.write(os.urandom(min(BLOCK, left)))
            left -= BLOCK
    return to


def main() -> None:
    """Measure, print, and with --keep write results/uploads.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found = measured(asked.megabytes, asked.rounds)
    for name, one in found["ways"].items():
        print(f"{name:14} " + "  ".join(f"{key} {value:,}" for key, value in one.items()))
    print(f"web app: {found['web_pss_mb']} MB")
    if asked.keep:
        measure.keep(asked.keep, found)


if __name__ == "__main__":
    main()
