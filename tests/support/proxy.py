"""A TCP proxy that misbehaves on demand: it falls silent and keeps its connections, or it is slow."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType


class Proxy:
    """Forwards connections to ``host:port`` from a port of its own on 127.0.0.1."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._dead: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._answers = threading.Event()
        self._answers.set()
        self.bytes_per_second = 0.0
        """Of each connection, towards the client; 0: as fast as can be."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.close()
        with self._lock:
            sockets, self._open = self._open, set()
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def fall_silent(self, *, for_all: bool = False) -> None:
        """Never forward another byte of the connections that are open, and keep them; with ``for_all`` new ones neither."""
        if for_all:
            self._answers.clear()
        with self._lock:
            self._dead |= self._open

    def answer_again(self) -> None:
        """Forward new connections; those that fell silent stay so."""
        self._answers.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        if not self._answers.is_set():
            with self._lock:
                self._dead.add(client)
            return
        server = socket.create_connection(self._to)
        with self._lock:
            self._open.add(server)
        threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
        self._forward(server, client, to_client=True)

    def _forward(self, source: socket.socket, to: socket.socket, *, to_client: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                if source in self._dead:
                    return
                if to_client and self.bytes_per_second:
                    time.sleep(len(data) / self.bytes_per_second)
                to.sendall(data)
            if source not in self._dead:
                to.shutdown(socket.SHUT_WR)
