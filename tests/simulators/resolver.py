"""Name look-ups and connections the attacker controls, without leaving loopback.

`ResolverSimulator` answers names as it is told, another answer every time if need be. `Dialler` lets a test believe in
public addresses: it records where a connection was wanted and makes it to a simulator, or nowhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import httpcore


@dataclass(slots=True)
class ResolverSimulator:
    """`answers` holds, for each name, the answers in order; the last one stays. Other names do not resolve."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        waiting = self.answers.get(host)
        if not waiting:
            raise OSError("name or service not known")
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@dataclass
class Dialler(httpcore.AsyncNetworkBackend):
    """`routes` leads an address to a loopback port; an address without a route refuses the connection."""

    routes: dict[str, int] = field(default_factory=dict)
    dialled: list[str] = field(default_factory=list)
    _real: httpcore.AnyIOBackend = field(default_factory=httpcore.AnyIOBackend)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the backend's interface
        local_address: str | None = None,
        socket_options: Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]
        | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append(host)
        if host not in self.routes:
            raise httpcore.ConnectError("nobody listens there")
        return await self._real.connect_tcp("127.0.0.1", self.routes[host], timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)
