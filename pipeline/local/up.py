"""`bulkhead up`: run the stack in the foreground until Ctrl-C or a signal, with an API key for the user of this machine.

The key is created once and stored in ``local-key`` in the home, readable by its owner only; commands on this machine find it in
``stack.env`` while the stack runs. The sign-in link contains a token that works once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.adapters import postgres
from pipeline.ledger.api_keys import ApiKey, ApiKeys, Role
from pipeline.local.home import write_private
from pipeline.local.metrics import TARGETS
from pipeline.local.stack import Stack
from pipeline.process_environment import environment
from pipeline.settings import load_settings
from pipeline.warehouse import migrate
from pipeline.warehouse.dataset_source import source_of

KEY_FILE = "local-key"
KEY_NAME = "local administrator"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


def run(home: Path, *, port: int | None, say: Say, tell: Callable[[dict[str, str]], None] | None = None) -> None:
    """Start the stack, print its URL, keep it running until Ctrl-C or SIGTERM, then stop it.

    ``tell`` is called with ``url``, ``sign_in`` and ``home`` once it is running. Raises what Stack raises.
    """
    stack = local_stack(home, port=port, say=say)
    stop_on_signals()
    try:
        stack.start()
        up = {"url": stack.environment["BULKHEAD_URL"], "sign_in": sign_in_url(stack), "home": str(stack.home.path)}
        if tell:
            tell(up)
        say(
            f"\n  Bulkhead is at  {up['url']}"
            f"\n  sign in         {up['sign_in']}  (works once)"
            f"\n  its data is in  {up['home']}  (Ctrl-C stops it)\n"
        )
        if stack.has_metrics:
            say(f"  its metrics are at the addresses in {up['home']}/metrics/{TARGETS} (docs/monitoring.md)\n")
        stack.wait()
    except KeyboardInterrupt:
        say("Stopping ...")
    finally:
        stack.stop()
    say("Stopped. The data is kept.")


def local_stack(home: Path, *, port: int | None = None, say: Say) -> Stack:
    """Return a stack, not started yet, that migrates its database and creates the key of this machine."""

    def prepare(given: Mapping[str, str]) -> Mapping[str, str]:
        owner_url = given.get("BULKHEAD_MIGRATION_DATABASE_URL")
        migrate.migrate(given["DATABASE_URL"], owner=owner_url, root=source_of(load_settings(home).of(given)).root())
        return {"BULKHEAD_API_KEY": local_key(home, given["DATABASE_URL"])[0]}

    settings = load_settings(home)
    given: dict[str, Any] = {"metrics_port": settings.metrics_port, "tls": settings.has_tls}
    return Stack(home, port=port, environ=environment(), prepare=prepare, say=say, **given)


def local_key(home: Path, database_url: str) -> tuple[str, ApiKey]:
    """Return this machine's administrator key: the one in the home if it is valid, else a new one."""
    engine = postgres.connect(database_url, pool_size=1, name="bulkhead up")
    try:
        keys, file = ApiKeys(engine), home / KEY_FILE
        text = file.read_text().strip() if file.is_file() else ""
        key = keys.check(text)
        if key is None:
            text, key = keys.create(KEY_NAME, Role.ADMIN)
            write_private(file, text + "\n")
        return text, key
    finally:
        engine.dispose()


def sign_in_url(stack: Stack) -> str:
    """Return a link that signs its first visitor in as this machine's administrator."""
    database_url = stack.environment["DATABASE_URL"]
    _, key = local_key(stack.home.path, database_url)
    engine = postgres.connect(database_url, pool_size=1, name="bulkhead up")
    try:
        token = ApiKeys(engine).sign_in_token(key.id)
    finally:
        engine.dispose()
    return f"{stack.environment['BULKHEAD_URL']}/sign-in?token={token}"


def stop_on_signals() -> None:
    """Let the stop signals raise KeyboardInterrupt once; further ones are ignored, so that stopping is not interrupted.

    SIGINT is handled even if a shell has set it to be ignored, as for background jobs. SIGHUP stays ignored under nohup.
    """
    for one in STOP_SIGNALS:
        if one is not signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for one in STOP_SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt
