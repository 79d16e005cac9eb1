"""Verify backups: every file is there, and has the SHA-256 that the manifest says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from pipeline.adapters import postgres_programs
from pipeline.backup.index import Index
from pipeline.backup.manifest import DUMP, LIST, Entry, Manifest, entries_in, folder_of, manifest_in, names_in, object_name
from pipeline.backup.objects import AT_ONCE
from pipeline.backup.places import Place
from pipeline.backup.progress import Tell, silent
from pipeline.backup.written import Written, digest
from pipeline.errors import BulkheadError, NotFound

PROBLEMS_SHOWN = 20
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Verified:
    """One backup as it was found. ``problems`` are the first of ``damaged``."""

    name: str
    taken_at: str
    objects: int
    size_bytes: int
    damaged: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """All backups in a place. ``incomplete``: begun and never finished; no restore uses them."""

    backups: tuple[Verified, ...]
    incomplete: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Return whether no backup is damaged."""
        return not any(one.damaged for one in self.backups)


def verify(place: Place, *, tell: Tell = silent) -> Verification:
    """Verify all backups in a place; what they share is read once. Raises NotFound if there is no complete one."""
    complete, incomplete = names_in(place)
    if not complete:
        begun = f" ({len(incomplete)} incomplete)" if incomplete else ""
        raise NotFound(f"There is no complete backup in {place.shown}{begun}. Make one: bulkhead backup {place.shown}")
    with Index() as checked:
        return Verification(tuple(_verify(place, name, checked, tell) for name in complete), tuple(incomplete))


def _verify(place: Place, name: str, checked: Index, tell: Tell) -> Verified:
    problems, counts = list[str](), Counter[str]()
    try:
        manifest = manifest_in(place, name)
    except BulkheadError as error:
        return Verified(name, "", 0, 0, 1, (str(error),))
    problems += [problem for problem in (_dump(place, manifest), _list(place, manifest)) if problem]
    try:
        entries = entries_in(place, name)
        with ThreadPoolExecutor(AT_ONCE, "verify") as pool:
            while page := [*islice(entries, _AT_ONCE)]:
                problems += _objects(place, page, checked, pool)
                counts.update(objects=len(page), bytes=sum(entry.size_bytes for entry in page))
                tell(f"{name}: objects", counts["objects"], manifest.objects.count)
    except BulkheadError as error:
        problems.append(str(error))
    if counts["objects"] != manifest.objects.count and not problems:
        problems.append(f"{LIST} has {counts['objects']:,} objects, the manifest says {manifest.objects.count:,}")
    size = counts["bytes"] + manifest.database.dump.size_bytes
    return Verified(name, manifest.taken_at, counts["objects"], size, len(problems), tuple(problems[:PROBLEMS_SHOWN]))


def _dump(place: Place, manifest: Manifest) -> str:
    file = folder_of(manifest.name) + DUMP
    problem = difference(place, file, manifest.database.dump)
    if not problem:
        try:
            postgres_programs.check_archive(place.read(file), manifest.database.dump_major)
        except BulkheadError as error:
            problem = f"{file}: {error}"
    return problem


def _list(place: Place, manifest: Manifest) -> str:
    return difference(place, folder_of(manifest.name) + LIST, manifest.objects.list)


def _objects(place: Place, page: Sequence[Entry], checked: Index, pool: ThreadPoolExecutor) -> list[str]:
    """Return what is wrong with the contents of these objects; ``checked`` has the answers about those that were read."""
    new = {object_name(entry.sha256): Written(entry.size_bytes, entry.sha256) for entry in page}
    new = {file: written for file, written in new.items() if file not in checked}
    checked.update(zip(new, pool.map(lambda one: difference(place, *one), new.items()), strict=True))
    answers = ((entry, checked.get(object_name(entry.sha256))) for entry in page)
    return [f"{entry.key}: {problem}" for entry, problem in answers if problem]


def difference(place: Place, file: str, expected: Written) -> str:
    """Return in words how a file differs from what the manifest says; empty if it does not."""
    try:
        found = digest(place.read(file))
    except NotFound:
        return f"{file} is missing"
    except (BulkheadError, OSError) as error:
        return f"{file} cannot be read: {error}"
    return (
        "" if found == expected else f"{file} is damaged: it has {found.size_bytes:,} bytes with SHA-256 {found.sha256[:12]}…"
    )
