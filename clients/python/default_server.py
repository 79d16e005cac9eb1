"""Read which server to use from the environment; within Bulkhead, its settings say it (pipeline/client/default_server.py)."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8765"


def default_server() -> tuple[str, str, str]:
    """Return URL, API key and CA certificate: BULKHEAD_URL, BULKHEAD_API_KEY (or ..._FILE), BULKHEAD_CA_CERTIFICATE."""
    key = os.environ.get("BULKHEAD_API_KEY", "")
    if not key and (file := os.environ.get("BULKHEAD_API_KEY_FILE")):
        key = Path(file).read_text(encoding="utf-8").strip()
    return os.environ.get("BULKHEAD_URL") or DEFAULT_URL, key, os.environ.get("BULKHEAD_CA_CERTIFICATE", "")
