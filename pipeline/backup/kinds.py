"""The halves of a backup. Standard library only: the command line needs it for its help."""

from __future__ import annotations

from enum import StrEnum


class Only(StrEnum):
    """The half of a backup that is restored when the other half survived."""

    DATABASE = "database"
    OBJECTS = "objects"
