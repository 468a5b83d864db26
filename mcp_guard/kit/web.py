"""Web addresses that credentials may be sent to."""

import ipaddress
from urllib.parse import urlsplit


def is_protected(address: str) -> bool:
    """Whether an address is https, or http on this very machine, and has neither user name nor fragment."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    plain = bool(host) and "@" not in parts.netloc and not parts.fragment and "#" not in address
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    return plain and safe and address.isascii() and address.isprintable() and " " not in address


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine, by its name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(address: str) -> str:
    """Scheme, host and port of an address (RFC 6454), in lower case and without the port that is the scheme's own."""
    parts = urlsplit(address)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if parts.port in (None, usual) else f":{parts.port}")
