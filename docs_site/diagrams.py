"""The names of the pictures of diagrams; draw_diagrams.py draws them."""

from __future__ import annotations

import hashlib


def picture_of(source: str) -> str:
    """Return the name of a diagram's picture: it has a hash of the text, so that no picture is of an older one."""
    return f"diagram-{hashlib.sha256(source.encode()).hexdigest()[:12]}.svg"
