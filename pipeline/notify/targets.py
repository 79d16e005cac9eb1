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
"""The maximum number of recipients that one upload may name."""

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
"""A host name, or an IP address."""

_OTHER_SERVICES = frozenset((1433, 1521, 2379, 3306, 5432, 5672, 6379, 7233, 9042, 11211, 27017))
"""Ports above 1023 of databases and queues, to which no webhook may be sent."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def channel_of(address: str) -> str:
    """Return WEBHOOK or EMAIL, by the form of the address. Raises InvalidRequest for an invalid address."""
    if len(address) > CHARACTERS_MAX or not address.isprintable() or not address.isascii() or " " in address:
        raise InvalidRequest(
            f"{address[:100]!r} is not a valid address: use at most {CHARACTERS_MAX:,} ASCII characters, without spaces."
        )
    if "://" in address:
        web_parts(address)
        return WEBHOOK
    try:
        parsed = Address(addr_spec=address)
    except (ValueError, IndexError, MessageError):
        parsed = Address()
    if not parsed.username or not parsed.domain:
        raise InvalidRequest(f"{address[:100]!r} is neither an http(s) URL nor an e-mail address such as me@example.org.")
    return EMAIL


def listed(text: str) -> tuple[str, ...]:
    """Return the comma-separated addresses in a text, each once.

    Raises InvalidRequest for an invalid address and for too many of them.
    """
    found = tuple(dict.fromkeys(piece.strip() for piece in text.split(",") if piece.strip()))
    if len(found) > NAMED_MAX:
        raise InvalidRequest(f"At most {NAMED_MAX} addresses are allowed.")
    for address in found:
        channel_of(address)
    return found


def web_parts(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL. Raises InvalidRequest unless it is a plain http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequest(f"{masked(url)!r} is not a plain http(s) URL: use one without user name and password.") from None
    is_host = _HOST.fullmatch(parts.hostname or "") is not None  # so that the HTTP library reads the same host as this check
    if parts.scheme not in ("http", "https") or not is_host or parts.username or parts.password:
        raise InvalidRequest(f"{masked(url)!r} is not a plain http(s) URL: use one without user name and password.")
    return parts.scheme, parts.hostname or "", port or (443 if parts.scheme == "https" else 80)


def check(address: str, *, allow_private: bool = False, domains: Collection[str] = ()) -> None:
    """Check an address against the SSRF policy, without DNS. Raises InvalidRequest if no message may be sent to it.

    ``domains``: if not empty, only these and their subdomains are allowed. ``allow_private``: also allow our own network.
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
        raise InvalidRequest(f"Messages to {host} are not allowed, only to {', '.join(sorted(domains))}.")


def _check_port(url: str, port: int) -> None:
    if (port < 1024 and port not in (80, 443)) or port in _OTHER_SERVICES:
        raise InvalidRequest(f"{masked(url)!r} uses a port that webhooks may not use. Allowed: 80, 443, and most above 1023.")


def _check_literal(host: str) -> None:
    """Refuse a private IP address or localhost; the IP addresses of a host name are checked when a message is sent."""
    try:
        is_private = not is_public(host)
    except ValueError:
        is_private = host.rstrip(".").lower() == "localhost"
    if is_private:
        raise _private(host)


def _private(host: str) -> InvalidRequest:
    return InvalidRequest(f"{host} is a private address. BULKHEAD_WEBHOOK_ALLOW_PRIVATE=true would allow it.")


def check_target(url: str, *, allow_private: bool) -> None:
    """Check a webhook's URL against the SSRF policy, with DNS: every IP address of its host must be public.

    Raises InvalidRequest if it must not be called, Unreachable if the host has no address.
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
    """Return whether an IP address is public, as is any IPv4 address embedded in it.

    Raises ValueError if the text is not an IP address.
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
