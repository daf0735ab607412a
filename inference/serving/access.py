"""Who may use a service of ours over HTTP: programs with a key, or, where it has none, programs alone.

A browser on the machine, or in its network, can be made to send requests by any page that somebody opens.
Such a request says whence it comes (``Origin``, ``Sec-Fetch-Site``), and one of a name that was bent to this
machine's address (DNS rebinding) carries that name as ``Host``.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "ip6-localhost"})
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound

Refusal = tuple[Literal["key", "refused"], str]  # what it is, and a sentence

WRONG_KEY: Refusal = (
    "key",
    "This service wants a key that it knows, as 'Authorization: Bearer KEY': use one of its SERVE_API_KEYS "
    "(the bot's setting for it is ENGINE_API_KEY).",
)
KEY_WANTED = {"WWW-Authenticate": "Bearer"}  # the header that goes with it
OTHER_SITE: Refusal = ("refused", "Pages of other sites are not served: send the request from a program.")
FOREIGN_HOST: Refusal = (
    "refused",
    "This service is not known by that host name: ask by its address, name the host in SERVE_HOSTS, or set "
    "SERVE_API_KEYS.",
)


@dataclass(frozen=True, slots=True)
class Access:
    """The rule of one service. Of its keys only digests are kept."""

    keys: frozenset[bytes] = frozenset()
    hosts: frozenset[str] = frozenset()  # names under which it may be asked, in lower case
    any_address: bool = False  # it listens everywhere: each address by number is its own, or leads to it

    @classmethod
    def of(cls, host: str, *, keys: Iterable[str] = (), hosts: Iterable[str] = ()) -> Self:
        """Of a service that listens at ``host``. Blank keys are none."""
        own = (host, *hosts, socket.gethostname())
        return cls(
            frozenset(_digest(key.strip()) for key in keys if key.strip()),
            frozenset(_host_name(name) for name in own) - _EVERYWHERE,
            host in _EVERYWHERE,
        )

    def refusal(self, headers: Mapping[str, str], *, open_to_all: bool = False) -> Refusal | None:
        """Why this request is not answered, or None. ``headers`` must not mind the case of names.

        ``open_to_all``: what is asked needs no key, since it tells nothing.
        """
        host = headers.get("Host", "")
        origin = headers.get("Origin")
        site = headers.get("Sec-Fetch-Site", "none").strip().lower()
        if site not in {"none", "same-origin"} or (
            origin is not None and _place(origin, default="") != _place(f"http://{host}")
        ):
            return OTHER_SITE
        if not self.keys:
            return None if self._known(_host_name(host)) else FOREIGN_HOST
        return None if open_to_all or self._has_key(headers) else WRONG_KEY

    def caller(self, headers: Mapping[str, str]) -> bytes:
        """Whom an answered request came from: the same for the same key, and for all where none is wanted."""
        return _digest(_key(headers)[1]) if self.keys else b""

    def _known(self, name: str) -> bool:
        if name in self.hosts or name in _LOOPBACK:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address or address.is_loopback

    def _has_key(self, headers: Mapping[str, str]) -> bool:
        scheme, key = _key(headers)
        given = _digest(key)
        # All of them, so that the time tells nothing.
        known = [hmac.compare_digest(given, one) for one in self.keys]
        return scheme.lower() == "bearer" and any(known)


def is_loopback(host: str) -> bool:
    """Whether who listens there is reached from this machine alone."""
    try:
        return host in _LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(headers: Mapping[str, str]) -> tuple[str, str]:
    """How the key of a request is given, and the key."""
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    return scheme, key.strip()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def _host_name(host: str) -> str:
    """The name or the address in a ``Host`` header, or as an operator writes it; "" for what is neither."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return host.lower()
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _place(url: str, default: str = "none") -> str:
    """Host and port of an address, to be compared."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return default
    return f"{parts.hostname}:{port}" if parts.hostname else default
