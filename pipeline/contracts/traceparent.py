"""The header ``traceparent``: which span of which trace something belongs to (https://www.w3.org/TR/trace-context/).

It travels as text in an object's metadata, the ledger and messages, so that no process on the way needs an SDK.
"""

from __future__ import annotations

import re

TRACEPARENT = "traceparent"
"""The name of the header of HTTP, and of an object's metadata (``x-amz-meta-traceparent``)."""

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_XRAY = re.compile(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24})")
_XRAY_PARENT = re.compile(r"Parent=([0-9a-f]{16})")


def valid_traceparent(text: str | None) -> str | None:
    """Return the text if it is a valid traceparent, else None: any client can write what it likes."""
    return text if text and _FORM.fullmatch(text) else None


def traceparent_of_xray(header: str) -> str | None:
    """Return AWS X-Ray's trace header as a traceparent; None for a trace that X-Ray does not record.

    ``Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1``: the same ids in another form.
    """
    fields = header.split(";")
    root = _XRAY.fullmatch(fields[0])
    parent = next(filter(None, map(_XRAY_PARENT.fullmatch, fields)), None)
    if root is None or parent is None or "Sampled=1" not in fields:
        return None
    return valid_traceparent(f"00-{root[1]}{root[2]}-{parent[1]}-01")
