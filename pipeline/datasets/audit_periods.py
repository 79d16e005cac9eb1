"""How often each dataset is audited: as its suite's ``meta.audit_every`` says, or else the setting BULKHEAD_AUDIT_EVERY."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import structlog

from pipeline.datasets.dataset import dataset_names, load_dataset
from pipeline.errors import InvalidConfiguration
from pipeline.units import audit_period

log = structlog.get_logger()


def audit_periods(root: Path, default: timedelta | None) -> dict[str, timedelta]:
    """Return the period of each dataset that is audited by a schedule. One whose definition is wrong is left out."""
    periods = {}
    for name in dataset_names(root):
        try:
            said = load_dataset(name, root).audit_every
        except InvalidConfiguration as error:
            log.warning("no scheduled audit", dataset=name, why=str(error))
            continue
        every = default if said is None else audit_period(said)
        if every is not None:
            periods[name] = every
    return periods
