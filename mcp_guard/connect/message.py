"""HTTP messages as values: where a request goes, what it says, and what came back."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from mcp_guard.connect.addresses import Address, Denied, literal
from mcp_guard.model.tool import TlsSpec

_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\]@]*\]|[^:@\[\]]*)(?::([0-9]{1,5}))?", re.ASCII)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port (RFC 6454). `host` has no brackets; `address` is set where it is not a name."""

    scheme: str
    host: str
    port: int
    address: Address | None

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@lru_cache(maxsize=1024)
def parse_origin(text: str) -> Origin:
    """`scheme://host[:port]` as an origin.

    Raises `Denied` for other schemes than http and https, for user information, and for hosts `literal` refuses.
    """
    match = _ORIGIN.fullmatch(text)
    scheme = match.group(1).lower() if match else ""
    if match is None or scheme not in _PORTS:
        raise Denied("the destination is not an http or https address")
    if "@" in match.group(2):
        raise Denied("the destination's address holds user information")
    authority = _AUTHORITY.fullmatch(match.group(2))
    port = int(authority.group(2) or _PORTS[scheme]) if authority else 0
    if authority is None or not 0 < port < 65536:
        raise Denied("the destination has no valid host and port")
    host = authority.group(1)
    address = literal(host)
    return Origin(scheme, str(address) if address is not None else host.lower(), port, address)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file in a body: `path`, below the directory `root`, of at most `most` bytes. `argument` named it."""

    root: str
    path: str
    most: int
    argument: str


Parts = tuple[bytes | FilePart, ...]
"""A body with files in it that are not read yet."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A body that is read while it is sent: so many bytes."""

    length: int
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `target` is sent as it stands (path and query, percent-encoded, ASCII).

    `networks` are the private networks it may reach (CIDR); `max_bytes` caps the body of the answer. `tls` says whom to
    trust and what to show instead of the usual.
    """

    method: str
    origin: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Parts | Sending | None = None
    networks: tuple[str, ...] = ()
    max_bytes: int = 1024 * 1024
    tls: TlsSpec | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Header names are lower case; `cut` says that the body of an error was longer than what is kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False
