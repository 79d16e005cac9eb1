"""Choose ports on 127.0.0.1: the default ones if they are free, else others."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterable

HOST = "127.0.0.1"
OURS = range(10_000, 20_000)
"""The range of ports that are not defaults. They and their twins, 10,000 higher, are below the ephemeral ports (from 32768 on
Linux, from 49152 elsewhere), any of which an outgoing connection could take before a server binds it."""


def is_free(port: int) -> bool:
    """Return whether a server can listen on a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(wanted: int, taken: Iterable[int] = (), *, twin: int = 0, claim: Callable[[int], bool] = lambda port: True) -> int:
    """Return ``wanted`` if it is free and not in ``taken``, else any free port; with ``twin``, port + twin is free as well.

    ``claim`` is called last for each of them, and may refuse it. Raises OSError if there is no free port.
    """
    taken = set(taken)
    for port in (wanted, *_any()):
        ours = {port, port + twin}
        if not ours & taken and max(ours) < 65536 and all(is_free(one) and claim(one) for one in ours):
            return port
    raise OSError("There is no free port on 127.0.0.1.")


def claim(port: int) -> int | None:
    """Claim a port before a server listens there, so that two stacks that start together never choose the same one.

    A claim is an abstract Unix socket, which ends with this process. Return its descriptor, to be closed when the port is
    released, or None if another process has claimed the port. On systems other than Linux there are no claims (-1).
    """
    if sys.platform != "linux":
        return -1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sign:
        try:
            sign.bind(f"\0bulkhead-port-{port}")
        except OSError:
            return None
        return sign.detach()


def _any(tries: int = 200) -> Iterable[int]:
    """Return ports in random order, so that two stacks that start together rarely try the same one first."""
    return random.sample(OURS, tries)
