"""The parts of an import in S3: stored by the attempt that validated the file, fetched by any worker.

The manifest is stored last, so a manifest in S3 means that its parts are complete. The same file gives the same parts, byte for
byte, so storing them again is idempotent.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.adapters.s3 import NotThere, Store
from pipeline.contracts.object_keys import PartSet, manifest_key, part_key, parts_prefix
from pipeline.errors import DamagedPart, InternalInconsistency
from pipeline.orchestration.import_files import ImportFiles
from pipeline.prepare.manifest import MANIFEST, Manifest
from pipeline.telemetry import tracing

Beat = Callable[..., None]


class StoredParts:
    """The parts of imports in one bucket. Safe to share between threads."""

    def __init__(self, store: Store, files: ImportFiles) -> None:
        self._store = store
        self._files = files

    def save(self, import_id: str, folder: Path, parts: PartSet = PartSet.LOAD, *, beat: Beat) -> Manifest:
        """Store the parts and the manifest that are in ``folder``, and return the manifest."""
        manifest = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))
        files = [(part_key(import_id, part.part_no, parts), folder / part.filename) for part in manifest.parts]
        with tracing.span("store parts", import_id=import_id, parts=len(files), records=manifest.records):
            self._store.put_files(files, beat=beat)
            self.save_manifest(manifest, parts, beat=beat)
        return manifest

    def save_manifest(self, manifest: Manifest, parts: PartSet = PartSet.LOAD, *, beat: Beat) -> None:
        """Store the manifest of parts that are stored already."""
        beat()  # raises in an attempt that has timed out: its successor's manifest stays
        key = manifest_key(manifest.import_id, parts)
        self._store.put_bytes(key, manifest.to_json().encode(), content_type="application/json")

    def manifest(self, import_id: str, parts: PartSet = PartSet.LOAD) -> Manifest:
        """Fetch the manifest of a set of parts. Raises InternalInconsistency if it is missing or damaged."""
        try:
            return Manifest.from_json(self._store.get_bytes(manifest_key(import_id, parts)).decode())
        except (NotThere, ValueError, TypeError, KeyError) as error:
            raise InternalInconsistency(
                f"The manifest of the stored parts is missing or damaged: {error}. Upload the file again."
            ) from error

    @functools.lru_cache(maxsize=8)  # noqa: B019 - lives as long as its worker
    def cached_manifest(self, import_id: str) -> Manifest:
        """Return the manifest of the parts to load, from memory if it was fetched before. Raises InternalInconsistency."""
        return self.manifest(import_id)

    def find(self, import_id: str, parts: PartSet, *, records: int) -> Manifest | None:
        """Return the manifest if it is of so many records and all its parts are stored; None otherwise."""
        try:
            manifest = self.manifest(import_id, parts)
        except InternalInconsistency:
            return None
        sizes = {stored.key: stored.size_bytes for stored in self._store.list(parts_prefix(import_id, parts))}
        is_complete = all(sizes.get(part_key(import_id, part.part_no, parts)) == part.size_bytes for part in manifest.parts)
        return manifest if is_complete and manifest.records == records else None

    @contextmanager
    def fetched(self, import_id: str, part_no: int, parts: PartSet = PartSet.LOAD, *, beat: Beat) -> Iterator[Path]:
        """Download a part to a file of its own, and remove that afterwards. Raises DamagedPart if it is not in S3."""
        path = self._files.folder(import_id) / f"part-{part_no:06d}-{uuid.uuid4().hex[:8]}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tracing.span("download part", import_id=import_id, part=part_no):
                self._store.get_file(part_key(import_id, part_no, parts), path, beat=beat)
            yield path
        except NotThere as error:
            raise DamagedPart("it is missing in S3") from error
        finally:
            path.unlink(missing_ok=True)

    def fetch_each(self, manifest: Manifest, parts: PartSet, *, beat: Beat) -> Iterator[tuple[Path, str]]:
        """Yield each part as a local file with its SHA-256, one at a time: the disk holds no more than one."""
        for part in manifest.parts:
            with self.fetched(manifest.import_id, part.part_no, parts, beat=beat) as path:
                yield path, part.sha256

    def remove(self, import_id: str, parts: PartSet) -> None:
        """Remove a set of parts and its manifest."""
        self._store.delete_prefix(parts_prefix(import_id, parts))
