"""Ports on 127.0.0.1: the usual ones if they are free, others if not, the same again at the next start."""

from __future__ import annotations

import socket
from collections.abc import Iterable

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Nobody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(wanted: int, taken: Iterable[int] = (), *, twin: int = 0) -> int:
    """``wanted`` if it is free and not in ``taken``, else any free port; with ``twin``, port + twin is free as well."""
    taken = set(taken)
    for port in (wanted, *_any()):
        ours = {port, port + twin}
        if not ours & taken and max(ours) < 65536 and all(is_free(one) for one in ours):
            return port
    raise OSError("There is no free port left on 127.0.0.1.")


def _any(tries: int = 200) -> Iterable[int]:
    for _ in range(tries):
        with socket.create_server((HOST, 0)) as probe:
            yield int(probe.getsockname()[1])
