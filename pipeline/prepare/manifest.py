"""The manifest of an import: its parts, their checksums, and which parts each part needs first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pipeline.contracts.messages import Plan

MANIFEST = "manifest.json"

PART_BYTES = 64 << 20
"""The bytes of values in a part, at most: the loader holds a part in memory, so of wide records it takes fewer."""


@dataclass(frozen=True)
class BatchSizes:
    """How to cut an import: a batch has 100 to ``batch_records`` records, and a part ``batches_per_part`` batches.

    Both have fewer if there are fewer in all, or if the records are wide: a part has at most ``part_bytes``, or one record.
    """

    import_id: str
    batch_records: int = 200
    batches_per_part: int = 250
    part_bytes: int = PART_BYTES


@dataclass(frozen=True)
class Part:
    """One Parquet object: consecutive batches of one wave. ``sha256`` is of the whole file.

    It can be loaded as soon as all parts up to number ``needs`` are.
    """

    part_no: int
    wave: int
    needs: int
    records: int
    first_batch: int
    last_batch: int
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        """The name of the file in the import's folder."""
        return f"part-{self.part_no:06d}.parquet"


@dataclass(frozen=True)
class Manifest:
    """Describe how an import was cut: its parts, and the sizes that were asked for."""

    import_id: str
    dataset: str
    records: int
    batches: int
    batch_records: int
    parts: tuple[Part, ...]
    batches_per_part: int = 0  # as asked for; 0 in manifests of earlier releases
    part_bytes: int = 0  # the most that a part may have; 0 in manifests of earlier releases
    order: str = "by level"  # or "depth first": then the first part has the ``spine``, and the others need nothing else
    spine: int = 0  # records that are ancestors of the first records of parts; 0 if no part needs another

    @property
    def waves(self) -> tuple[int, ...]:
        """The number of the last part of each wave."""
        last = {part.wave: part.part_no for part in self.parts}
        return tuple(last[wave] for wave in sorted(last))

    @property
    def plan(self) -> Plan:
        """What the workflow needs to know about the parts."""
        needs = tuple(part.needs for part in self.parts)
        return Plan(records=self.records, batches=self.batches, parts=len(self.parts), waves=self.waves, needs=needs)

    def is_cut_by(self, cutting: BatchSizes) -> bool:
        """Return whether ``cutting`` would cut the same records in the same way."""
        wanted = (cutting.batch_records, cutting.batches_per_part, cutting.part_bytes)
        return (self.batch_records, self.batches_per_part, self.part_bytes) == wanted

    def part(self, part_no: int) -> Part:
        """Return a part by its number, from 1."""
        return self.parts[part_no - 1]

    def to_json(self) -> str:
        """Return the manifest as it is stored."""
        return json.dumps({**asdict(self), "waves": self.waves}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Return the manifest that to_json wrote, or an earlier release."""
        fields = json.loads(text)
        waves = [0, *fields.pop("waves")]
        parts = ({"needs": waves[part["wave"] - 1], **part} for part in fields["parts"])  # for manifests without it
        return cls(**{**fields, "parts": tuple(Part(**part) for part in parts)})
