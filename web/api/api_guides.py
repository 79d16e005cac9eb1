"""The guides to the API, with the address of this server and a dataset of the reader in every command.

They are for anyone, as the reference is; only a reader who is signed in sees the name of a dataset.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, render_template
from flask.typing import ResponseReturnValue

from web.api.openapi_webhooks import ENDED, HEADERS, MESSAGE_TYPES
from web.app_context import app_context
from web.http.auth import for_anyone, signed_in
from web.http.problems import PROBLEM_TYPES, Problem
from web.services import key_scope

GUIDES: Mapping[str, str] = {
    "quick-start": "Quick start",
    "events": "Polling and events",
    "idempotency": "Idempotency",
    "webhooks": "Webhooks",
    "paging": "Paging",
    "errors": "Errors",
}
"""The title of each guide, by the last part of its address, in the order of the navigation."""

UNKNOWN_DATASET = "places"
"""The dataset in the commands if the reader has none, or is not known: the one that comes with Bulkhead."""

EXAMPLES = {"Python": "verify_webhook.py", "JavaScript": "verify_webhook.mjs", "Bash": "verify_webhook.sh"}
"""The file in web/examples/ that verifies a webhook, by language; tests/integration/web/pages/test_api_guides.py runs each."""

_FOLDER = Path(__file__).resolve().parents[1] / "examples"

pages = Blueprint("api_guides", __name__)


def install(app: Flask) -> None:
    """Add the guides to the app, and their titles to all templates."""
    app.jinja_env.globals["api_guides"] = GUIDES
    app.register_blueprint(pages)


@pages.get("/docs/<name:guide>")
@for_anyone
def guide_page(guide: str) -> ResponseReturnValue:
    """Show one guide."""
    if guide not in GUIDES:
        raise Problem("not_found", f"There is no guide of that name. The guides: {', '.join(GUIDES)}.")
    more = _MORE.get(guide, dict)()
    return render_template(
        f"guide_{guide.replace('-', '_')}.html",
        guide=guide,
        title=GUIDES[guide],
        address=app_context().settings.url.rstrip("/"),
        dataset=_dataset(),
        **more,
    )


def _dataset() -> str:
    """Return the first dataset of the reader."""
    if signed_in() is None:
        return UNKNOWN_DATASET
    names = [one.name for one in key_scope.datasets()]
    return UNKNOWN_DATASET if UNKNOWN_DATASET in names or not names else names[0]


def _webhooks() -> dict[str, Any]:
    return {
        "messages": {
            name: {"summary": summary, "example": json.dumps(example, indent=2)}
            for name, (summary, _, example) in MESSAGE_TYPES.items()
        },
        "like_others": [f"import.{state}" for state in list(ENDED)[1:]],
        "headers": HEADERS,
        "programs": {language: _program(file) for language, file in EXAMPLES.items()},
    }


@functools.cache
def _program(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")


def _errors() -> dict[str, Any]:
    return {"kinds": sorted(PROBLEM_TYPES.items(), key=lambda one: one[1].status)}


_MORE: Mapping[str, Callable[[], dict[str, Any]]] = {"webhooks": _webhooks, "errors": _errors}
"""What the templates of some guides need beside address and dataset."""
