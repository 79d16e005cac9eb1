"""The manifest of an import: its parts, their checksums, and which parts each part needs first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pipeline.contracts.messages import Plan

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class BatchSizes:
    """How an import is to be cut: a batch has 100 to ``batch_records`` records, and a part ``batches_per_part`` batches.

    Both have fewer where there are fewer in all, or where the records are wide.
    """

    import_id: str
    batch_records: int = 200
    batches_per_part: int = 250


@dataclass(frozen=True)
class Part:
    """One Parquet object: consecutive batches of one wave. ``sha256`` is of the whole file.

    It may be loaded when all parts up to ``needs`` are.
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
        """Its name in the import's folder."""
        return f"part-{self.part_no:06d}.parquet"


@dataclass(frozen=True)
class Manifest:
    """How an import was cut."""

    import_id: str
    dataset: str
    records: int
    batches: int
    batch_records: int
    parts: tuple[Part, ...]
    batches_per_part: int = 0  # as it was asked for; earlier manifests do not say
    part_bytes: int = 0  # what a part may hold; earlier manifests do not say

    @property
    def waves(self) -> tuple[int, ...]:
        """The last part's number of each wave."""
        last = {part.wave: part.part_no for part in self.parts}
        return tuple(last[wave] for wave in sorted(last))

    @property
    def plan(self) -> Plan:
        """What the workflow needs to know of it."""
        needs = tuple(part.needs for part in self.parts)
        return Plan(records=self.records, batches=self.batches, parts=len(self.parts), waves=self.waves, needs=needs)

    def is_cut_by(self, cutting: BatchSizes) -> bool:
        """It is how ``cutting`` would cut the same records."""
        wanted = (cutting.batch_records, cutting.batches_per_part, PART_BYTES)
        return (self.batch_records, self.batches_per_part, self.part_bytes) == wanted

    def part(self, part_no: int) -> Part:
        """A part by its number, from 1."""
        return self.parts[part_no - 1]

    def to_json(self) -> str:
        """The manifest as it is stored."""
        return json.dumps({**asdict(self), "waves": self.waves}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what to_json wrote."""
        fields = json.loads(text)
        waves = [0, *fields.pop("waves")]
        parts = ({"needs": waves[part["wave"] - 1], **part} for part in fields["parts"])  # earlier manifests do not say
        return cls(**{**fields, "parts": tuple(Part(**part) for part in parts)})


PART_BYTES = 64 << 20
"""Bytes that the values of a part may have: of wide records it takes fewer, since the loader holds a part in memory."""
