"""Ports on 127.0.0.1: the usual ones if they are free, others if not, the same again at the next start."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterable

HOST = "127.0.0.1"
OURS = range(10_000, 20_000)
"""Where other ports than the usual ones are looked for: below those that a kernel hands out by itself (Linux from 32768 on,
others from 49152), a twin 10,000 higher included. Of those, any client's connection may take one before a server binds it."""


def is_free(port: int) -> bool:
    """Nobody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(wanted: int, taken: Iterable[int] = (), *, twin: int = 0, claim: Callable[[int], bool] = lambda port: True) -> int:
    """``wanted`` if it is free and not in ``taken``, else any free port; with ``twin``, port + twin is free as well.

    ``claim`` is asked last for each of them, and may say no.
    """
    taken = set(taken)
    for port in (wanted, *_any()):
        ours = {port, port + twin}
        if not ours & taken and max(ours) < 65536 and all(is_free(one) and claim(one) for one in ours):
            return port
    raise OSError("There is no free port left on 127.0.0.1.")


def claim(port: int) -> int | None:
    """Claim a port before a server listens there, so that two stacks that start together never choose the same one.

    The claim is an abstract socket of the kernel, which goes with our process: the descriptor to close when the port is
    given back, or None if another process has claimed it. Elsewhere than on Linux there are no claims (-1).
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
    """Ports in no order: two stacks that look at the same time hardly ever see the same one first."""
    return random.sample(OURS, tries)
