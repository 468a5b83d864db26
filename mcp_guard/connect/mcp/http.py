"""A server that has an address: the SDK's transport over connections that are judged like those of any tool.

The SDK brings its own HTTP client, so the guard of `connect.egress` is put under that one too: judged addresses, no
proxies, nothing from the environment, bounded answers. Redirects are never followed.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpcore2
import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from mcp_guard.connect.addresses import Denied, Network
from mcp_guard.connect.dialling import Resolve, dialled, judged_addresses
from mcp_guard.connect.handshake import ClosedIfCutShort
from mcp_guard.connect.tokens import Bearer

_CONNECT_SECONDS: Final = 10.0
_READ_SECONDS: Final = 3600.0
"""A call has its own, shorter time; this ends a stream nobody waits for any more."""


class _Stream(ClosedIfCutShort, httpcore2.AsyncNetworkStream):
    """As httpcore2 wants it."""


class _JudgingBackend(httpcore2.AsyncNetworkBackend):
    """Connects by name to judged addresses only."""

    def __init__(self, networks: Sequence[Network], resolve: Resolve) -> None:
        self._networks = networks
        self._resolve = resolve
        self._dial = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the backend's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        limit = timeout if timeout is not None else _CONNECT_SECONDS
        try:
            async with asyncio.timeout(limit):
                addresses = await judged_addresses(host, port, self._networks, self._resolve)
        except Denied as denied:
            raise httpcore2.ConnectError(str(denied)) from denied
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError("the name does not resolve") from None

        async def connect(address: str, share: float) -> httpcore2.AsyncNetworkStream:
            return await self._dial.connect_tcp(address, port, share, local_address, socket_options)

        return _Stream(await dialled(addresses, limit, connect, (httpcore2.ConnectError, httpcore2.ConnectTimeout)))

    async def connect_unix_socket(self, path: str, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("the destination is not an http or https address")

    async def sleep(self, seconds: float) -> None:
        await self._dial.sleep(seconds)


class _Transport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a pool that judges, and answers that end where they are longer than `max_bytes`."""

    def __init__(self, trust: ssl.SSLContext, backend: _JudgingBackend, max_bytes: int) -> None:
        super().__init__(verify=trust, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=trust, network_backend=backend)
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        answer = await super().handle_async_request(request)
        if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            await answer.aclose()
            raise httpx2.RemoteProtocolError("compressed although no compression was accepted", request=request)
        if "text/event-stream" not in answer.headers.get("content-type", ""):  # a stream is bounded event by event
            assert isinstance(answer.stream, httpx2.AsyncByteStream)
            answer.stream = _Bounded(answer.stream, self._max_bytes)
        return answer


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for part in self._stream:
            seen += len(part)
            if seen > self._most:
                raise httpx2.RemoteProtocolError(f"the answer is larger than {self._most} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Own(httpx2.Auth):
    """Every request carries its person's token as it is then; one that is refused is renewed once (401: nothing was
    done)."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        token = await self._bearer.token()
        request.headers["Authorization"] = f"Bearer {token}"
        answer = yield request
        if answer.status_code == 401:
            request.headers["Authorization"] = f"Bearer {await self._bearer.renewed(token)}"
            yield request


@asynccontextmanager
async def address(
    url: str,
    headers: Mapping[str, str],
    networks: Sequence[Network],
    resolve: Resolve,
    max_bytes: int,
    *,
    bearer: Bearer | None = None,
) -> AsyncIterator[TransportStreams]:
    """A server at an address, perhaps in somebody's name. Nothing is sent before the first message."""
    trust = httpx2.create_ssl_context(trust_env=False)
    transport = _Transport(trust, _JudgingBackend(networks, resolve), max_bytes)
    waits = httpx2.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
    async with (
        httpx2.AsyncClient(
            transport=transport,
            headers=dict(headers),
            timeout=waits,
            trust_env=False,
            auth=None if bearer is None else _Own(bearer),
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=max_bytes) as streams,
    ):
        yield streams
