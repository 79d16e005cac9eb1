"""All commands: importing this module registers them on ``app``, in the order in which `bulkhead --help` lists them."""

from __future__ import annotations

from pipeline.cli.app import app

# isort: off
from pipeline.cli import uploads
from pipeline.cli import imports
from pipeline.cli import import_actions
from pipeline.cli import fixes
from pipeline.cli import offline
from pipeline.cli import preview
from pipeline.cli import outcomes
from pipeline.cli import audit
from pipeline.cli import gx
from pipeline.cli import server
from pipeline.cli import diagnosis
from pipeline.cli import keys
from pipeline.cli import dataset
from pipeline.cli import connect
from pipeline.cli import dbt
from pipeline.cli import backup
from pipeline.cli import settings
from pipeline.cli import upgrade
from pipeline.cli import audit_log
# isort: on

__all__ = [
    "app",
    "audit",
    "audit_log",
    "backup",
    "connect",
    "dataset",
    "dbt",
    "diagnosis",
    "fixes",
    "gx",
    "import_actions",
    "imports",
    "keys",
    "offline",
    "outcomes",
    "preview",
    "server",
    "settings",
    "upgrade",
    "uploads",
]
