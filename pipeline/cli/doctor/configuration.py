"""Checks of the settings: what is missing, and what is insecure."""

from __future__ import annotations

from pipeline.cli.doctor.results import Doubtful, Wrong
from pipeline.errors import InvalidConfiguration
from pipeline.insecure_settings import insecure_settings
from pipeline.secret_checks import check_secrets
from pipeline.settings import Settings


def complete(settings: Settings) -> str:
    """Check that the settings that every command needs are there."""
    needed = {
        "DATABASE_URL": settings.database_url,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key,
        "BULKHEAD_API_KEY": settings.api_key,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise Wrong(f"not set: {', '.join(missing)}", "Start the embedded stack (bulkhead up), or set them as in .env.example.")
    return f"complete; BULKHEAD_HOME is {settings.home}"


def secure(settings: Settings) -> str:
    """Check that no setting is insecure: wrong if no process would start with it, else doubtful."""
    try:
        check_secrets(settings)
    except InvalidConfiguration as error:
        wrong, _, mend = str(error).partition(". Set a value")
        raise Wrong(_without_values(wrong), f"Set a value{mend}") from error
    found = insecure_settings(settings)
    if found:
        raise Doubtful("; ".join(f"{one.name}: {one.reason}" for one in found), " ".join(one.mend for one in found))
    return "nothing is insecure"


def _without_values(text: str) -> str:
    """Return the sentence of check_secrets without the known default that it quotes."""
    return "; ".join(one.split(" is '")[0] + " is a known default" if " is '" in one else one for one in text.split("; "))
