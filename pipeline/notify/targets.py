"""Check the recipients of messages: the form of addresses, and the SSRF policy, which refuses targets in our own network."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from email.errors import MessageError
from email.headerregistry import Address
from urllib.parse import urlsplit

from pipeline.display import masked
from pipeline.errors import InvalidRequest, Unreachable

WEBHOOK, EMAIL = "webhook", "email"
CHARACTERS_MAX = 2000
NAMED_MAX = 5
"""One upload may name so many."""


_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
"""A name, or an address of IPv6."""

_OTHER_SERVICES = frozenset((1433, 1521, 2379, 3306, 5432, 5672, 6379, 7233, 9042, 11211, 27017))
"""Ports above 1023 where databases and queues listen: what is meant for a webhook must not be said to them."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def channel_of(address: str) -> str:
    """How whoever is there is told: WEBHOOK or EMAIL. Raises InvalidRequest if it is no address at all."""
    if len(address) > CHARACTERS_MAX or not address.isprintable() or not address.isascii() or " " in address:
        raise InvalidRequest(f"{address[:100]!r} is no address: it may hold no blank and no character beyond ASCII.")
    if "://" in address:
        web_parts(address)
        return WEBHOOK
    try:
        parsed = Address(addr_spec=address)
    except (ValueError, IndexError, MessageError):
        parsed = Address()
    if not parsed.username or not parsed.domain:
        raise InvalidRequest(
            f"{address[:100]!r} is neither an http or https address nor a mail address such as me@example.org."
        )
    return EMAIL


def listed(text: str) -> tuple[str, ...]:
    """The addresses in a text, with commas between them, each once. Raises InvalidRequest for one that is none, and for too
    many."""
    found = tuple(dict.fromkeys(piece.strip() for piece in text.split(",") if piece.strip()))
    if len(found) > NAMED_MAX:
        raise InvalidRequest(f"At most {NAMED_MAX} addresses may be named.")
    for address in found:
        channel_of(address)
    return found


def web_parts(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises InvalidRequest for what is not a plain http or https address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequest(f"{masked(url)!r} is not a plain http or https address.") from None
    is_host = _HOST.fullmatch(parts.hostname or "") is not None  # whoever connects must read it as we do
    if parts.scheme not in ("http", "https") or not is_host or parts.username or parts.password:
        raise InvalidRequest(f"{masked(url)!r} is not a plain http or https address.")
    return parts.scheme, parts.hostname or "", port or (443 if parts.scheme == "https" else 80)


def check(address: str, *, allow_private: bool = False, domains: Collection[str] = ()) -> None:
    """Raises InvalidRequest for an address that no message may go to, as far as it shows without asking for its host.

    ``domains``: only there and below, if there are any. ``allow_private``: also into our own network.
    """
    if channel_of(address) == EMAIL:
        host = address.rpartition("@")[2]
    else:
        _, host, port = web_parts(address)
        if not allow_private:
            _check_port(address, port)
            _check_literal(host)
    host, domains = host.rstrip(".").lower(), [domain.lower() for domain in domains]
    if domains and not any(host == domain or host.endswith(f".{domain}") for domain in domains):
        raise InvalidRequest(f"Messages may go to {', '.join(sorted(domains))} alone, not to {host}.")


def _check_port(url: str, port: int) -> None:
    if (port < 1024 and port not in (80, 443)) or port in _OTHER_SERVICES:
        raise InvalidRequest(f"{masked(url)!r} names a port that is not for the web.")


def _check_literal(host: str) -> None:
    """A host may be written as an address; what its name means is looked up when a message is sent."""
    try:
        is_private = not is_public(host)
    except ValueError:
        is_private = host.rstrip(".").lower() == "localhost"
    if is_private:
        raise _private(host)


def _private(host: str) -> InvalidRequest:
    return InvalidRequest(f"{host} is a private address; BULKHEAD_WEBHOOK_ALLOW_PRIVATE=true would allow it.")


def check_target(url: str, *, allow_private: bool) -> None:
    """No webhook may reach into our own network: every address that its name has now must be public.

    Raises InvalidRequest, or Unreachable for a name that has no address.
    """
    check(url, allow_private=allow_private)
    if allow_private:
        return
    _, host, port = web_parts(url)
    try:
        found = socket.getaddrinfo(host.rstrip("."), port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{host} has no address: {error}") from error
    for *_, address in found:
        if not is_public(str(address[0])):
            raise _private(host)


def is_public(text: str) -> bool:
    """An address out in the internet, also once the IPv4 address that may be wrapped in it is taken out.

    Raises ValueError if it is no IP address.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
