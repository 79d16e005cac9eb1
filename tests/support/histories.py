"""Keep the histories of workflows that tests have played, for the replay test (tests/unit/orchestration/test_replay.py)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from temporalio.client import Client, WorkflowHandle

from pipeline.settings import ROOT, Settings

FOLDER = ROOT / "tests" / "histories" / "next"


class Histories:
    """Writes histories, if the run of the tests is asked to: ``pytest --record-histories``."""

    def __init__(self, *, are_wanted: bool) -> None:
        self._are_wanted = are_wanted

    async def keep(self, handle: WorkflowHandle[Any, Any], name: str) -> None:
        """Keep a workflow's history as tests/histories/next/<name>.json."""
        if self._are_wanted:
            FOLDER.mkdir(exist_ok=True)
            events = json.loads((await handle.fetch_history()).to_json(), object_hook=_without_machine)
            (FOLDER / f"{name}.json").write_text(json.dumps(events, indent=1) + "\n")

    def keep_ended(self, settings: Settings, workflow_type: str, name: str, *, id_ends: str = "") -> None:
        """Keep the history of the last workflow of a type that began, among those whose id ends so, once it has ended."""
        if self._are_wanted:
            asyncio.run(self._keep_ended(settings, workflow_type, name, id_ends))

    async def _keep_ended(self, settings: Settings, workflow_type: str, name: str, id_ends: str) -> None:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        runs = [one async for one in client.list_workflows(f"WorkflowType = '{workflow_type}'") if one.id.endswith(id_ends)]
        handle = client.get_workflow_handle(max(runs, key=lambda one: one.start_time).id)
        await handle.result()
        await self.keep(handle, name)


def _without_machine(values: dict[str, Any]) -> dict[str, Any]:
    """Return an object of a history without what only says where it was recorded: paths in stack traces, processes' names."""
    return {name: value for name, value in values.items() if name not in ("stackTrace", "identity")}
