"""Collect what a person needs who helps with a problem, without secrets and without values of records, in one zip."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.cli.support_bundle.redaction import Redactor
from pipeline.cli.support_bundle.sections import SECTIONS, logs
from pipeline.errors import InvalidRequest, NotReady
from pipeline.settings import Settings

README = """Bulkhead support bundle
=======================

Made at {moment} by `bulkhead support-bundle`{names}.

versions.json   Bulkhead, Python and installed packages
settings.json   every setting and its source; of a secret only whether it is set
doctor.json     what `bulkhead doctor` found
ledger.json     imports by dataset and state, and the newest 50 with counts and codes
database.json   PostgreSQL: version, numeric settings, the ledger's version, sizes of tables
temporal.json   the namespace, schedules, pollers, and pending steps with the types of their failures
machine.json    operating system, limits, memory, disks
logs/           the newest lines of the embedded stack's logs: time, level, event, numbers and ids
manifest.json   the SHA-256 of every file

It contains no password, key, token, e-mail address, record, value of a record or text of a finding. What could not be
collected has an "error" with its type. Look through it before you send it: it names hosts, folders, datasets, tables and codes
of rules.
"""


def write_bundle(settings: Settings, file: Path, *, with_names: bool = False) -> dict[str, str]:
    """Write the bundle, which only its owner may read, and return the SHA-256 of each file in it.

    A section that cannot be collected says so. Raises InvalidRequest if ``file`` exists or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InvalidRequest(f"{file} exists already. Name another file.") from error
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}.") from error
    redactor, sums = Redactor(settings), {}
    with os.fdopen(descriptor, "wb") as opened, zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in _files(settings, redactor, with_names):
            data = redactor.words(content).encode("utf-8", "replace")
            bundle.writestr(name, data)
            sums[name] = hashlib.sha256(data).hexdigest()
        bundle.writestr("manifest.json", json.dumps(sums, indent=2))
    return sums


def _files(settings: Settings, redactor: Redactor, with_names: bool) -> Iterator[tuple[str, str]]:
    moment = f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield "README.txt", README.format(moment=moment, names=", with the names of files" if with_names else "")
    for name, section in SECTIONS.items():
        try:
            content: Any = section(settings, with_names)
        except Exception as error:  # whatever is broken is the reason for the bundle; a message may quote a value
            content = {"error": str(error) if isinstance(error, NotReady) else type(error).__name__}
        yield f"{name}.json", json.dumps(redactor.tree(content), indent=2, ensure_ascii=False)
    try:
        yield from ((f"logs/{name}", redactor.text(text)) for name, text in logs(settings))
    except OSError as error:
        yield "logs/error.txt", type(error).__name__
