"""A proxy that ends TLS before a server of gRPC (HTTP/2: it offers ``h2`` by ALPN), and can ask for clients' certificates."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.certificates import Issued


class TlsProxy:
    """Where it listens, and what clients have sent to it, decrypted."""

    def __init__(self) -> None:
        self.port = 0
        self.received = bytearray()

    @property
    def address(self) -> str:
        """Its address by number; the certificate may name another one."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, to: str, context: ssl.SSLContext, ready: threading.Event, stop: asyncio.Event) -> None:
        """Forward connections until ``stop``."""
        host, _, port = to.rpartition(":")

        open_now: set[asyncio.StreamWriter] = set()
        under_way: set[asyncio.Task[object]] = set()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, note: bool) -> None:
            with suppress(OSError, ssl.SSLError):
                while data := await reader.read(1 << 16):
                    if note:
                        self.received += data
                    writer.write(data)
                    await writer.drain()
            writer.transport.abort()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            under_way.add(task := asyncio.current_task())  # type: ignore[arg-type]
            there, back = await asyncio.open_connection(host, int(port))
            open_now.update((writer, back))
            await asyncio.gather(forward(reader, back, note=True), forward(there, writer, note=False))
            open_now.difference_update((writer, back))
            under_way.discard(task)  # type: ignore[arg-type]

        server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for writer in open_now:
            writer.transport.abort()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.sleep(0.05)  # the transports of aborted connections close in the loop's next rounds


@contextmanager
def tls_proxy(to: str, server: Issued, *, clients: Path | None = None) -> Iterator[TlsProxy]:
    """Run a proxy to the address ``to`` with this certificate for as long as the block lasts.

    ``clients``: the authority whose certificates clients must have (mutual TLS).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.set_alpn_protocols(["h2"])
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    proxy, ready, loop = TlsProxy(), threading.Event(), asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # refused handshakes are what some tests want
    stop = asyncio.Event()

    def run() -> None:
        loop.run_until_complete(proxy.serve(to, context, ready, stop))
        loop.close()

    thread = threading.Thread(target=run, name="TLS proxy", daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
