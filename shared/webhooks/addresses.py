"""Where a delivery may go: to public addresses by https, and to hosts that WEBHOOK_ALLOWED_HOSTS names.

Whoever subscribes must not reach through the app what only the app reaches: its own machine, its network, the cloud's
metadata. So a host's name is resolved here, once for each delivery; every address that it has is judged, and the
connection is made to one of exactly these. A name that means another address a moment later changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from shared.errors import WebhookRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARS = 2048
HTTPS_PORT = 443
# Azure's own services for every machine, which looks like a public address:
# https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
WIRE_SERVER = ipaddress.IPv4Address("168.63.129.16")
# All that is routed of IPv6 (https://www.iana.org/assignments/ipv6-address-space), and what of it is for examples.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
EXAMPLES = ipaddress.IPv6Network("3fff::/20")
# Addresses of IPv4 behind a NAT64: RFC 6052, 2.1.
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*")


@dataclass(frozen=True)
class Place:
    """A URL's parts. `host` without brackets and without a full stop at its end; `path` with the query, in which there
    may be a token.
    """

    host: str
    port: int
    path: str = field(repr=False)


def parse(url: str) -> Place:
    """The parts of a URL that a delivery may go to, as far as it can be told without looking the host up.

    Raises WebhookRefusedError, whose words do not repeat the URL.
    """
    if len(url) > MAX_URL_CHARS or not re.fullmatch(r"[!-\[\]-~]+", url):
        raise WebhookRefusedError(
            f"url must have at most {MAX_URL_CHARS} characters, all of ASCII and without blanks and backslashes; write "
            "others with % and a name as xn--…"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookRefusedError("url is no URL; it must be like https://example.com/path") from None
    if parts.scheme != "https":
        raise WebhookRefusedError(f"url begins with {parts.scheme or 'no scheme'}; it must begin with https")
    if "@" in parts.netloc:
        raise WebhookRefusedError("url has a user's name or password; deliveries are known by their signature")
    if "#" in url:
        raise WebhookRefusedError("url has a fragment (#…), which is never sent; leave it away")
    host = (parts.hostname or "").rstrip(".")
    if not _HOST.fullmatch(host):
        raise WebhookRefusedError("url has no usable host; it must be a name, or an IP address")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(host, HTTPS_PORT if port is None else port, path)


def look_up(place: Place, allowed: Sequence[str], deadline: float) -> list[str]:
    """The addresses of a place, all of which deliveries may go to. `allowed` as in WEBHOOK_ALLOWED_HOSTS; `deadline` by
    time.monotonic().

    Raises WebhookRefusedError, also when the name has no address now.
    """
    found = [ipaddress.ip_address(each) for each in _resolve(place, deadline)]
    names, networks = _split(allowed)
    is_named = place.host in names
    trusted = [is_named or _is_within(each, networks) for each in found]
    if place.port != HTTPS_PORT and not all(trusted):
        raise WebhookRefusedError(
            f"url has port {place.port}; it must be {HTTPS_PORT}, unless WEBHOOK_ALLOWED_HOSTS names the host"
        )
    for address, is_trusted in zip(found, trusted, strict=True):
        if _is_never_allowed(address) or not (is_trusted or is_public(address)):
            raise WebhookRefusedError(
                f"url leads to {place.host}, which has an address that is not public; deliveries go to public "
                "addresses, and to hosts that WEBHOOK_ALLOWED_HOSTS names"
            )
    return [str(each) for each in found]


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet, whatever form it is written in."""
    real = unwrapped(address)
    if not real.is_global or real.is_multicast or real.is_reserved or _is_never_allowed(real):
        return False
    return real.version == 4 or (real in GLOBAL_UNICAST and real not in EXAMPLES)


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does: mapped, 6to4, or behind a NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_never_allowed(address: Address) -> bool:
    """Link-local addresses are those of metadata, which give out the app's own tokens:
    https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
    """
    real = unwrapped(address)
    return real == WIRE_SERVER or real.is_link_local


def _is_within(address: Address, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address in network or unwrapped(address) in network for network in networks)


def _split(allowed: Sequence[str]) -> tuple[set[str], list[ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    """Names, and networks."""
    names: set[str] = set()
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for each in allowed:
        try:
            networks.append(ipaddress.ip_network(each))
        except ValueError:
            names.add(each)
    return names, networks


def _resolve(place: Place, deadline: float) -> list[str]:
    """The addresses that a host has now. Resolvers know no deadline, so one that is late is left behind."""
    answers: SimpleQueue[list[str]] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except (OSError, UnicodeError):
            found = []
        answers.put(list(dict.fromkeys(str(each[4][0]) for each in found)))

    threading.Thread(target=ask, name="webhook-resolver", daemon=True).start()
    try:
        addresses = answers.get(timeout=max(deadline - time.monotonic(), 0))
    except Empty:
        raise WebhookRefusedError(f"url leads to {place.host}, whose address was not told in time") from None
    if not addresses:
        raise WebhookRefusedError(f"url leads to {place.host}, which has no address; it must be known to DNS")
    return addresses
