"""An ASGI application served by uvicorn until told to stop; nothing of the SDK."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from mcp_guard.kit.platform import allow_open_files
from mcp_guard.server.patience import MAX_CONNECTIONS, ROOM, PatientProtocol

GRACE_SECONDS = 10
"""How long a stopping server waits for calls in flight."""

LAST_ANSWERS_SECONDS = 1.0
"""How long the answers of ended calls may take to get out."""

OTHER_FILES = 512
"""What the store, upstreams and the rest may hold open beside connections."""


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    on_listening: Callable[[str, int], None],
    stop: asyncio.Event,
    drain: Callable[[], Awaitable[None]],
) -> None:
    """Serve until `stop` is set, then let `drain` end what is in flight; after `GRACE_SECONDS` connections are closed.

    `port` 0 takes a free one.
    """
    for name in ("mcp", "uvicorn"):
        logging.getLogger(name).setLevel(logging.ERROR)  # what they log names clients and paths; ours is in the audit
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    allow_open_files(MAX_CONNECTIONS + OTHER_FILES)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=ROOM,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Announcing(config, on_listening)

    async def watch() -> None:
        await stop.wait()
        server.should_exit = True
        await drain()
        await asyncio.sleep(LAST_ANSWERS_SECONDS)
        server.force_exit = True  # what is still open is a stream nobody will write to any more

    watching = asyncio.create_task(watch())
    try:
        await server.serve()
    finally:
        watching.cancel()


def _is_news(record: logging.LogRecord) -> bool:
    """Streams cut off while stopping are not an error of the application."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


class _Announcing(uvicorn.Server):
    """Says where it listens once it does, because with port 0 nobody else knows, and leaves signals to its caller.

    uvicorn would raise a caught signal again after serving, which ends the process before the log is closed.
    """

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[str, int], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_listening(host, port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
