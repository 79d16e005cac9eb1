"""Compose files as `docker compose` reads them, without a Docker engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")


def config(
    file: str, variables: Mapping[str, str], *more: str, profiles: str = "", output: str = "json"
) -> subprocess.CompletedProcess[str]:
    """Run `docker compose config` on files with these variables and no others. It ends with 0 whatever it says on stderr."""
    files = [argument for one in (file, *more) for argument in ("-f", one)]
    command = [COMPOSE, *files, "--env-file", os.devnull, "config", "--format", output]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "COMPOSE_PROFILES": profiles, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)


def composed(file: str, variables: Mapping[str, str], *more: str, profiles: str = "") -> dict[str, Any]:
    """Return a file as `docker compose` would start it. Raises AssertionError if it is invalid."""
    done = config(file, variables, *more, profiles=profiles)
    assert done.stderr == ""
    read: dict[str, Any] = json.loads(done.stdout)
    return read
