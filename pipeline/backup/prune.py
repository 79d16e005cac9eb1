"""Remove old backups, and contents that no backup refers to any more."""

from __future__ import annotations

from pipeline.backup.index import Index
from pipeline.backup.manifest import MANIFEST, OBJECTS, entries_in, folder_of, names_in, object_name
from pipeline.backup.places import Place


def prune(place: Place, keep: int) -> tuple[str, ...]:
    """Remove all but the newest ``keep`` complete backups, and incomplete ones; return the names of the complete ones.

    The caller holds the removal lock: no backup is being made at the same time.
    """
    complete, incomplete = names_in(place)
    old = complete[:-keep] if keep else []
    for name in [*old, *incomplete]:
        place.delete(folder_of(name) + MANIFEST)  # first: without it, what is left is no backup
        for file in [*place.names(folder_of(name))]:
            place.delete(file)
    if old or incomplete:
        place.discard_partial()
        _remove_unused(place, complete[len(old) :])
    return tuple(old)


def _remove_unused(place: Place, kept: list[str]) -> None:
    with Index() as used:
        for name in kept:
            used.update((object_name(entry.sha256), "") for entry in entries_in(place, name))
        for file in place.names(OBJECTS):
            if file not in used:
                place.delete(file)
