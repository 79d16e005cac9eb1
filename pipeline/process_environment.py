"""What a process hands on to those that it starts: their environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipeline.setting_types import is_secret, names_of
from pipeline.settings import Settings
from pipeline.tracing_settings import TracingSettings


def export_for_lambda(settings: Settings) -> None:
    """Put what the Lambda's handler reads into this process's environment, so that .env and stack.env count for it too."""
    os.environ.update({**settings.temporal_environment, "BULKHEAD_TASK_QUEUE": settings.task_queue})


def export_for_tracing(settings: Settings) -> None:
    """Put OpenTelemetry's settings, but no secret, into this process's environment, where its SDK reads them."""
    given = {
        names_of(field)[0]: getattr(settings, name)
        for name, field in TracingSettings.model_fields.items()
        if not is_secret(field)
    }
    os.environ.update({name: value for name, value in given.items() if value})  # an empty one is not as one that is not set
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")  # the names of attributes that are stable


def environment() -> dict[str, str]:
    """Return a copy of the environment, for the processes that the supervisor starts."""
    return dict(os.environ)


def runtime_folder() -> Path | None:
    """Return the folder that the user's session has for sockets; None where there is no such session."""
    folder = os.environ.get("XDG_RUNTIME_DIR")
    return Path(folder) if folder else None


_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(folder: Path | None) -> None:
    """Have this process and those that it forks share their metrics in a folder; None: not.

    prometheus_client reads this when it is loaded first.
    """
    os.environ.pop(_SHARED_METRICS, None)
    if folder is not None:
        os.environ[_SHARED_METRICS] = str(folder)


def shared_metrics() -> Path | None:
    """Return the folder in which processes share their metrics; None if they do not."""
    folder = os.environ.get(_SHARED_METRICS)
    return Path(folder) if folder else None


_CHILD_NEEDS = re.compile(
    r"PATH|HOME|TMPDIR|TZ|LANG|LANGUAGE|LC_[A-Z]+|LD_LIBRARY_PATH|LD_PRELOAD|MALLOC_[A-Z_]+"
    r"|PYTHON(HOME|UTF8|HASHSEED|WARNINGS|IOENCODING|DONTWRITEBYTECODE|PYCACHEPREFIX)"
)
"""What Python, the C library and the loader read. Only names listed here are handed on, so no credential can be."""


def child_environment() -> dict[str, str]:
    """Return the environment of the processes that read uploaded files; what else they need comes as arguments."""
    needed = {name: value for name, value in os.environ.items() if _CHILD_NEEDS.fullmatch(name)}
    # What an allocator reserves counts as memory of the child, used or not. Arrow's (mimalloc) takes a GiB of addresses at its
    # first use; in KiB. The C library's takes 64 MiB for each thread that allocates while others do, up to eight for each
    # processor (mallopt(3), M_ARENA_MAX): a small preview took 800 MiB, and the more of its GiB the busier the machine was.
    allocators = {"MIMALLOC_ARENA_RESERVE": str(64 << 10), "MALLOC_ARENA_MAX": "2"}
    return allocators | needed | {"GX_ANALYTICS_ENABLED": "false"}
