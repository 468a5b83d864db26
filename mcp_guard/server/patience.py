"""An HTTP/1.1 protocol that does not wait for ever: half a request line or header held open is hung up on.

uvicorn bounds only the idle time between requests; the ASGI gate bounds the body. This closes the gap between them.
And it does not let those who wait keep the others out: where connections run short, the ones that have asked nothing
for longest are hung up on, strangers before those who showed a token.
"""

import asyncio
from itertools import islice
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from mcp_guard.server.asgi import PRINCIPAL

HEAD_SECONDS: Final = 10.0
"""How long a client may take from its first byte (or from connecting) to the end of the headers."""

MAX_CONNECTIONS: Final = 1024
ROOM: Final = 256
"""So many more connections may arrive in one turn of the event loop; that many are hung up on at once when they run
short. A client that asks at once is served, however many others only connect."""


class PatientProtocol(H11Protocol):
    """uvicorn's h11 protocol with a deadline for the request head."""

    _deadline: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn types it
        super().connection_made(transport)
        self._since = self.loop.time()
        self._arm()
        if len(self.connections) > MAX_CONNECTIONS - ROOM:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._disarm()
        elif self._deadline is None and not self.transport.is_closing():
            self._arm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since = self.loop.time()
        has_more, _ = self.conn.trailing_data
        if has_more and not self._is_answering() and self._deadline is None:
            self._arm()  # half of the next request came along with the last one

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn declares it as never None
        return cycle is not None and not cycle.response_complete

    def _make_room(self) -> None:
        open_ = [one for one in self.connections if isinstance(one, PatientProtocol) and not one.transport.is_closing()]
        if len(open_) > MAX_CONNECTIONS - ROOM:
            waiting = sorted((one for one in open_ if not one._is_answering()), key=PatientProtocol._claim)
            for one in islice(waiting, ROOM):
                one.transport.close()

    def _claim(self) -> tuple[bool, float]:
        """How good the right to stay is: who showed a token first, then who came or was answered last."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and PRINCIPAL in cycle.scope, self._since

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._deadline = None
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.close()
