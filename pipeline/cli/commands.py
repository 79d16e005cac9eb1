"""All commands: importing this module registers them on ``app``, in the order in which `bulkhead --help` lists them."""

from __future__ import annotations

from pipeline.cli.app import app

# isort: off
from pipeline.cli import uploads
from pipeline.cli import imports
from pipeline.cli import import_actions
from pipeline.cli import offline
from pipeline.cli import outcomes
from pipeline.cli import audit
from pipeline.cli import server
# isort: on

__all__ = ["app", "audit", "import_actions", "imports", "offline", "outcomes", "server", "uploads"]
