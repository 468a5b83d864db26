"""Which addresses a tool may reach: public ones, and the private networks its manifest opts into. Pure rules.

The tables are explicit because the standard library's `is_global` changed between releases and does not know NAT64,
6to4 or site-local addresses. Sources: the IANA IPv4 and IPv6 special-purpose address registries (RFC 6890).
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4 = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared (carrier-grade NAT)"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "reserved (AS112)"),
    ("192.52.193.0/24", "reserved (AMT)"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "reserved (AS112)"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)
_V6 = (
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("100::/64", "discard"),
    ("2001::/32", "Teredo"),
    ("2001:2::/48", "benchmarking"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "reserved (AS112)"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_SPECIAL_V4 = tuple((IPv4Network(text), kind) for text, kind in _V4)
_SPECIAL_V6 = tuple((IPv6Network(text), kind) for text, kind in _V6)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # the only part of the IPv6 space that is given out (RFC 4291, section 2.4)

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class Denied(Exception):
    """A destination that is not allowed; the message says why, without the address."""


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse the networks a tool opts into. Raises `ValueError`."""
    return tuple(ip_network(text) for text in texts)


def special(address: Address) -> str | None:
    """The kind of a special-purpose address; `None` for a public one."""
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _SPECIAL_V4 if address in network), None)
    plain = IPv6Address(int(address))  # without a scope
    found = next((kind for network, kind in _SPECIAL_V6 if plain in network), None)
    return found or (None if plain in _GLOBAL_UNICAST else "reserved")


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address a transition mechanism would deliver to, where `address` names one.

    IPv4-mapped and -compatible (RFC 4291), -translated (RFC 7915), NAT64 (RFC 6052), 6to4 (RFC 3056),
    Teredo (RFC 4380).
    """
    if isinstance(address, IPv4Address):
        return None
    number = int(address)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if number >> 32 in (0, 0xFFFF, 0xFFFF0000) and number > 1:
        return IPv4Address(number & 0xFFFFFFFF)
    if any(address in network for network in _NAT64):
        return IPv4Address(number & 0xFFFFFFFF)
    return None


_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


def judge(address: Address, networks: Sequence[Network]) -> None:
    """Raise `Denied` unless `address` is public, or in one of `networks`.

    An opted-in address that carries an IPv4 address is allowed only if that one is too: a tunnel is no way around.
    """
    kind = special(address)
    if kind is None:
        return
    if not any(address in network for network in networks):
        raise Denied(f"the destination is not a public address ({kind})")
    inner = embedded(address)
    if inner is not None:
        judge(inner, networks)


@lru_cache(maxsize=1024)
def literal(host: str) -> Address | None:
    """The address a host is written as; `None` for a name. Brackets around IPv6 are allowed.

    Raises `Denied` for every host two programs could read differently: decimal, octal, hexadecimal and short forms of
    IPv4 (as in the WHATWG URL standard, a host whose last label is a number is one of these), escapes, other scripts.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ip_address(bare)
    except ValueError:
        _check_name(host)
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise Denied("the destination's host has a zone")
    return address


def _check_name(host: str) -> None:
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Denied("the destination's host is neither a name in ASCII nor an address in its usual form")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise Denied("the destination's host is an address in an unusual form")
