"""Check one process of the stack, in its own container: ``python -m pipeline.local.health_check [web|worker|relay]``.

Ends with 0 if the process is healthy, else with 1 and one sentence. Without an argument it looks at
what process 1 of a container runs; a command that ends by itself, such as a migration, is healthy while it runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import Unreachable
from pipeline.local.answers import answered
from pipeline.secret_checks import as_process
from pipeline.settings import Settings, load_settings

ANSWER_SECONDS = 5.0

WORKER_SECONDS = 90.0
"""A worker touches its file every ten seconds (orchestration/worker.py), more rarely on a machine that is overloaded."""

WEB_PORT = 8765


def web(settings: Settings) -> None:
    """Raise Unreachable unless the web app answers."""
    _ask("web app", settings.port or urlsplit(settings.url).port or WEB_PORT, scheme="https" if settings.has_tls else "http")


def relay(settings: Settings) -> None:
    """Raise Unreachable unless the event relay answers."""
    _ask("event relay", settings.relay_port)


def worker(settings: Settings) -> None:
    """Raise Unreachable unless the worker has shown lately that it is alive."""
    file = settings.home / "worker.ready"
    try:
        age_seconds = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        raise Unreachable("the worker is starting or stopping") from None
    if age_seconds > WORKER_SECONDS:
        raise Unreachable(f"the worker has not shown that it is alive for {age_seconds:.0f} seconds")


def _ask(name: str, port: int, *, scheme: str = "http") -> None:
    try:
        status = answered(f"{scheme}://127.0.0.1:{port}/healthz", seconds=ANSWER_SECONDS)
    except (OSError, HTTPException) as error:
        raise Unreachable(f"the {name} does not answer at port {port}: {error}") from error
    if status != 200:
        raise Unreachable(f"the {name} answered {status} at port {port}")


CHECKS: Mapping[str, Callable[[Settings], None]] = {"web": web, "worker": worker, "relay": relay}
RUN_AS = {"gunicorn": "web", "pipeline.orchestration.worker": "worker", "pipeline.local.relay": "relay"}
"""What else the arguments of a process may be, besides the name of the verb."""


def role_of(arguments: list[str]) -> str:
    """Return which process a command line starts; empty for one that ends by itself."""
    named = [RUN_AS.get(Path(argument).name, argument) for argument in arguments]
    return next((argument for argument in named if argument in CHECKS), "")


def main(arguments: list[str]) -> None:
    """Entry point of ``python -m pipeline.local.health_check``."""
    role = arguments[0] if arguments else role_of(Path("/proc/1/cmdline").read_text(encoding="utf-8").split("\0"))
    if role and role not in CHECKS:
        sys.exit(f"usage: python -m pipeline.local.health_check [{'|'.join(CHECKS)}]")
    if role:
        CHECKS[role](load_settings())


if __name__ == "__main__":
    with as_process("health check"):
        main(sys.argv[1:])
