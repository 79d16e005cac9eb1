"""Run a worker in a thread of this process."""

from __future__ import annotations

import asyncio
import threading

from temporalio.client import Client

from pipeline.orchestration.worker import working
from pipeline.settings import Settings


class running_worker:  # noqa: N801 - reads as a statement
    """A worker for as long as the block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    async def _run(self) -> None:
        client = await Client.connect(self._settings.temporal_address, namespace=self._settings.temporal_namespace)
        async with working(client, self._settings):
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
