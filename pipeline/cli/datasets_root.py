"""Find the datasets for a command: those of files, and those in the database, if it answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.settings import Settings


def current_root(settings: Settings) -> Path:
    """Return the folder to read datasets from: that of files alone, if no database is set or it does not answer."""
    if not settings.database_url:
        return settings.datasets_root
    from pipeline.errors import BulkheadError
    from pipeline.warehouse.dataset_source import source_of

    try:
        return source_of(settings).root()
    except BulkheadError as error:
        from pipeline.cli.terminal import say

        say(f"Only datasets of files are known, for the database does not answer: {error}")
        return settings.datasets_root
