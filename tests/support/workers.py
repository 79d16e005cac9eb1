"""Run a worker in a thread of this process."""

from __future__ import annotations

import asyncio
import threading

from pipeline.orchestration.worker import working
from pipeline.settings import Settings
from pipeline.temporal_access.connecting import connect
from pipeline.temporal_access.options import access_from


class running_worker:  # noqa: N801 - reads as a statement
    """A worker for as long as the block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    async def _run(self) -> None:
        client = await connect(access_from(self._settings.temporal_environment))
        async with working(client, self._settings):
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._ready.wait(120), "the worker did not start"

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
