"""From a host to addresses that may be connected to: resolved once, every answer judged."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TypeVar

from mcp_guard.connect.addresses import Address, Denied, Network, judge, literal

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host name, as text. Raises `OSError` where there are none."""

Failures = tuple[type[Exception], ...]
_Stream = TypeVar("_Stream")

MAX_ADDRESSES = 16
"""More answers than this are refused: the owner of a name does not decide how long a call dials."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the operating system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def judged_addresses(host: str, port: int, networks: Sequence[Network], resolve: Resolve) -> list[str]:
    """The addresses to try, in order.

    One answer that is not allowed denies them all: a name that is public and private at once is how rebinding starts.
    Raises `Denied`, and `OSError` where the name does not resolve.
    """
    address = literal(host)
    texts = [str(address)] if address is not None else await resolve(host, port)
    if not texts:
        raise OSError("the name has no address")
    if len(texts) > MAX_ADDRESSES:
        raise Denied("the destination's name has too many addresses")
    addresses = [_address(text) for text in texts]
    for candidate in addresses:
        judge(candidate, networks)
    return [str(candidate) for candidate in addresses]


async def dialled(
    addresses: Sequence[str], seconds: float, connect: Callable[[str, float], Awaitable[_Stream]], failures: Failures
) -> _Stream:
    """A connection to the first address that takes one, each in its share of the time. Raises what the last attempt
    raises; of those before it, only what is none of the `failures` of a connection."""
    share = seconds / len(addresses)
    for address in addresses[:-1]:
        try:
            return await connect(address, share)
        except failures:
            continue
    return await connect(addresses[-1], share)


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise Denied("the destination's name resolves to something that is not an address") from None
