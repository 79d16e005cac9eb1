"""Find the files that are no Python: sql/, expectations/, lambda/ and .env.example.

In a checkout, and in the image, they are beside the packages. A wheel has them in ``pipeline/installed/`` (setup.py).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "installed"

ROOT = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent
"""The folder of sql/ and expectations/: the checkout, the image's copy of it, or what the wheel brought."""
