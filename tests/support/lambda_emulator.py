"""The Lambda's zip under AWS's own runtime interface emulator, in an interpreter that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from pipeline.local import ports
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = Path(sys.prefix) / "emulator" / "samcli" / "local" / "rapid" / "aws-lambda-rie-x86_64"
IN_THE_RUNTIME = ("awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson")
"""What AWS's runtime for Python has, beside boto3."""

BOTO3 = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")

Invoke = Callable[[Any], Any]


def build(target: Path, *, root: Path = ROOT, packages: Path | None = None) -> Path:
    """Build the zip from the sources in ``root``, with the packages of this environment or of a folder."""
    environment = os.environ | ({"PYTHONPATH": str(packages)} if packages else {})
    subprocess.run([sys.executable, "lambda/build.py", target], cwd=root, env=environment, check=True, capture_output=True)
    return target


@contextmanager
def emulated(
    built: Path, folder: Path, environment: Mapping[str, str], *, handler: str = "handler.handle", with_boto3: bool = False
) -> Iterator[Invoke]:
    """Run a zip in ``folder`` with these variables, and provide a function that invokes it with an event."""
    task = folder / "task"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(task)
    runtime = folder / "runtime.py"
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    for name in (*IN_THE_RUNTIME, *(BOTO3 if with_boto3 else ())):
        for found in (site / name, site / f"{name}.py", *site.glob(f"{name}*.so")):
            if found.exists() and not (task / found.name).exists():
                (task / found.name).symlink_to(found)
    runtime.write_text(f"import sys; from awslambdaric import __main__ as m; m.main(['', {handler!r}])")
    port, inner = ports.choose(9100), ports.choose(9200)
    own = {
        "PATH": os.defpath,
        "PYTHONPATH": str(task),
        "LAMBDA_TASK_ROOT": str(task),
        "AWS_LAMBDA_FUNCTION_NAME": "bulkhead",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{inner}",
    }
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(EMULATOR),
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{inner}"),
                *(sys.executable, "-S", str(runtime)),
            ],
            cwd=task,
            env={**own, **environment},
            stdout=log,
            stderr=log,
        )

    def is_listening() -> bool:
        assert process.poll() is None, (folder / "emulator.log").read_text()
        return not ports.is_free(port)

    def invoke(event: Any) -> Any:
        address = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        return requests.post(address, json=event, timeout=300).json()

    try:
        wait_until(is_listening)
        yield invoke
    finally:
        process.terminate()
        process.wait(10)
