"""Distribute the tests over the processes of a run: one by one, but the tests of a module that shares a fixture together.

pytest-xdist has ``--dist loadgroup`` for that. It changes the node ids of the tests, which pytest 9.2 does not let it do any
more, so that each process made the shared fixture once again.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling


class ByModuleWhereShared(LoadScopeScheduling):
    """A unit of work is a module that has a fixture of the module or says that it is together, and a single test elsewhere."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if shares(Path(self.config.rootpath / module)) else nodeid


@cache
def shares(module: Path) -> bool:
    """Whether a test module defines a fixture of which there is one for the module, or is marked as ``together``."""
    text = module.read_text(encoding="utf-8")
    return 'scope="module"' in text or "pytest.mark.together" in text


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByModuleWhereShared:
    """Called by pytest-xdist, where it is at work, in the process that distributes the tests."""
    return ByModuleWhereShared(config, log)  # type: ignore[arg-type]
