"""The only way out over HTTP: judged addresses, no redirects, no proxies, no cookies, bounded answers.

httpx's transport is used without its client, so nothing of the client's convenience (redirects, cookies, proxies and
certificates from the environment, decompression, log lines with whole addresses) exists here. The host is resolved and
judged at the moment a connection is made, and the connection goes to the judged address: there is no second look-up
that could answer differently. TLS is always verified against the host of the request.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import httpcore
import httpx

from mcp_guard.connect.addresses import Denied, Network, networks_of
from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.dialling import Resolve, dialled, judged_addresses, system_resolve
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.handshake import ClosedIfCutShort
from mcp_guard.connect.message import Origin, Request, Response, Sending, parse_origin
from mcp_guard.connect.tls import Version, context_of, version_of
from mcp_guard.model.codes import Executed
from mcp_guard.model.tool import TlsSpec

MAX_HEADER_BYTES = 32 * 1024
MAX_ERROR_BYTES = 16 * 1024
"""How much of an answer that is not a success is read: enough for a message, and never a reason to fail otherwise."""

_CONNECT_SECONDS = 10.0
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=4.0)
# 4 s: below the idle timeout of common servers, so that a request rarely meets a connection being closed.

for _name in ("httpx", "httpcore"):  # below WARNING they log addresses and headers in full
    logging.getLogger(_name).setLevel(logging.WARNING)

_Key = tuple[tuple[str, ...], TlsSpec | None]
_REFUSED = re.compile("ALERT.*(CERTIFICATE|UNKNOWN_CA)")  # OpenSSL's names of the alerts (RFC 8446, section 6.2)
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class _Stream(ClosedIfCutShort, httpcore.AsyncNetworkStream):
    """As httpcore wants it."""


class _JudgingBackend(httpcore.AsyncNetworkBackend):
    """Connects by name to judged addresses only."""

    def __init__(self, networks: Sequence[Network], resolve: Resolve, dial: httpcore.AsyncNetworkBackend) -> None:
        self._networks = networks
        self._resolve = resolve
        self._dial = dial

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the backend's interface
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        limit = timeout if timeout is not None else _CONNECT_SECONDS
        try:
            async with asyncio.timeout(limit):
                addresses = await judged_addresses(host, port, self._networks, self._resolve)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name does not resolve") from None

        async def connect(address: str, share: float) -> httpcore.AsyncNetworkStream:
            return await self._dial.connect_tcp(address, port, share, local_address, socket_options)

        return _Stream(await dialled(addresses, limit, connect, (httpcore.ConnectError, httpcore.ConnectTimeout)))

    async def connect_unix_socket(self, path: str, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        raise Denied("the destination is not an http or https address")

    async def sleep(self, seconds: float) -> None:
        await self._dial.sleep(seconds)


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool that judges. One for every distinct set of opted-in networks and TLS: a connection
    opened for a tool that may reach a private network, or that shows a certificate, is never lent to one that may not.
    """

    def __init__(self, trust: ssl.SSLContext, backend: _JudgingBackend) -> None:
        super().__init__(verify=trust, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            network_backend=backend,
        )

    @property
    def is_idle(self) -> bool:
        """Whether no request is on its way."""
        return all(connection.is_idle() or connection.is_closed() for connection in self._pool.connections)


@dataclass(slots=True)
class _Progress:
    """Whether any part of the request may have left this machine; set by httpcore's trace hook."""

    sent: bool = False

    async def trace(self, event: str, _: Mapping[str, object]) -> None:
        if event == "http11.send_request_headers.started":
            self.sent = True


@cache
def authorities() -> ssl.SSLContext:
    """The usual certificate authorities, read once in a process: reading them takes longer than many a call."""
    return httpx.create_ssl_context(trust_env=False)


class Egress:
    """The guarded client. `trust` replaces the certificate authorities, never the verification."""

    def __init__(
        self,
        *,
        trust: ssl.SSLContext | None = None,
        resolve: Resolve = system_resolve,
        dial: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._trust = trust or authorities()
        if self._trust.verify_mode is not ssl.CERT_REQUIRED or not self._trust.check_hostname:
            raise ValueError("TLS verification cannot be turned off")
        self._resolve = resolve
        self._dial = dial or httpcore.AnyIOBackend()
        self._transports: dict[_Key, tuple[Version, _GuardedTransport]] = {}
        self._retired: list[_GuardedTransport] = []

    async def send(self, request: Request, seconds: float) -> Response:
        """Send one request and read its answer, all within `seconds`.

        The status is not judged here, except that a redirect is an error. Raises `Failed` with `egress_denied`,
        `upstream_unavailable`, `upstream_timeout`, `upstream_too_large`, `upstream_bad_response`, `upstream_error`.
        """
        progress = _Progress()
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._exchange(request, seconds, progress)
        except Denied as denied:
            raise Failed("egress_denied", str(denied)) from None
        except (httpx.TransportError, ssl.SSLError) as error:  # the latter for an alert after the handshake
            raise _failure(error, progress.sent, seconds) from None
        except TimeoutError:
            if not limit.expired():
                raise
        raise _timeout(seconds, progress.sent)

    async def aclose(self) -> None:
        """Close every connection."""
        transports = [*self._retired, *(transport for _, transport in self._transports.values())]
        self._transports, self._retired = {}, []
        for transport in transports:
            await transport.aclose()

    async def _exchange(self, request: Request, seconds: float, progress: _Progress) -> Response:
        origin = parse_origin(request.origin)
        async with self._open(origin, request, seconds, progress) as answer:
            _check_head(answer)
            if 300 <= answer.status_code < 400:
                raise Failed(
                    "upstream_error", f"redirected ({answer.status_code}), which is not followed", executed="unknown"
                )
            headers = {name.lower(): value for name, value in answer.headers.items()}
            if 200 <= answer.status_code < 300:
                return Response(answer.status_code, headers, await _whole_body(answer, request.max_bytes))
            return Response(answer.status_code, headers, *await _first_of_body(answer, MAX_ERROR_BYTES))

    @asynccontextmanager
    async def _open(
        self, origin: Origin, request: Request, seconds: float, progress: _Progress
    ) -> AsyncIterator[httpx.Response]:
        headers = httpx.Headers(list(request.headers), encoding="latin-1")
        headers["Host"] = origin.authority
        headers["Accept-Encoding"] = "identity"
        body = request.body
        assert not isinstance(body, tuple), "files are opened before they are sent"
        if isinstance(body, Sending):
            headers["Content-Length"] = str(body.length)
        waits = dict.fromkeys(("read", "write", "pool"), seconds) | {"connect": min(seconds, _CONNECT_SECONDS)}
        outgoing = httpx.Request(
            request.method,
            httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port, path="/"),
            headers=headers,
            content=body.chunks if isinstance(body, Sending) else body,
            extensions={"timeout": waits, "target": request.target.encode("ascii"), "trace": progress.trace},
        )
        await self._close_retired()
        answer = await self._transport(request).handle_async_request(outgoing)
        try:
            yield answer
        finally:
            await answer.aclose()

    def _transport(self, request: Request) -> _GuardedTransport:
        """The pool for a request; a new one where files of its TLS have changed."""
        key = (tuple(sorted(set(request.networks))), request.tls)
        version = version_of(request.tls) if request.tls is not None else ()
        found = self._transports.get(key)
        if found is not None and found[0] == version:
            return found[1]
        trust = self._trust if request.tls is None else context_of(request.tls, self._trust)
        made = _GuardedTransport(trust, _JudgingBackend(networks_of(key[0]), self._resolve, self._dial))
        self._transports[key] = (version, made)
        if found is not None:
            self._retired.append(found[1])
        return made

    async def _close_retired(self) -> None:
        """Close pools that nobody will use again, once their last answer was read."""
        for transport in [retired for retired in self._retired if retired.is_idle]:
            self._retired.remove(transport)
            await transport.aclose()


def _check_head(answer: httpx.Response) -> None:
    if sum(len(name) + len(value) for name, value in answer.headers.raw) > MAX_HEADER_BYTES:
        raise _bad(f"its headers are larger than {MAX_HEADER_BYTES} bytes")
    if answer.status_code < 200 or answer.status_code > 599:
        raise _bad("its status is not one of HTTP's")
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise _bad("it is compressed although no compression was accepted")


async def _whole_body(answer: httpx.Response, limit: int) -> bytes:
    announced = answer.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


async def _first_of_body(answer: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """The start of an error's body, and whether there was more; a body that breaks off is as good as a short one."""
    body = bytearray()
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit:
                return bytes(body[:limit]), True
    except httpx.TransportError:
        return bytes(body), True
    return bytes(body), False


def _bad(why: str) -> Failed:
    return Failed("upstream_bad_response", f"the answer could not be used: {why}", executed="unknown")


def _too_large(limit: int) -> Failed:
    return Failed("upstream_too_large", f"the answer is larger than {limit} bytes", executed="unknown")


def _timeout(seconds: float, sent: bool) -> Failed:
    return Failed("upstream_timeout", timed_out(seconds), transient="timeout", executed=_executed(sent))


def _executed(sent: bool) -> Executed:
    return "unknown" if sent else "no"


def _failure(error: Exception, sent: bool, seconds: float) -> Failed:
    """What a transport error means for the call. Messages of the libraries are not passed on."""
    if isinstance(error, httpx.TimeoutException):
        return _timeout(seconds, sent)
    if isinstance(error, httpx.RemoteProtocolError) and not _hung_up(error):
        return _bad("it is not HTTP")
    refused = _certificate_problem(error)
    if refused is not None:
        return Failed("upstream_unavailable", refused, executed=_executed(sent))
    if isinstance(error, httpx.ConnectError):
        return Failed("upstream_unavailable", "no connection could be made", transient="connect")
    return Failed("upstream_unavailable", "the connection broke", transient="connect", executed=_executed(sent))


def _hung_up(error: httpx.RemoteProtocolError) -> bool:
    """A connection closed early is told apart from bytes that are not HTTP by httpcore's and h11's wording only."""
    text = str(error)
    return "disconnected" in text or "peer closed connection" in text


def _certificate_problem(error: BaseException) -> str | None:
    """What is wrong with the certificate of one side, where that is what ended the connection."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and _REFUSED.search(cause.reason or ""):
            return "it does not accept the certificate of the tool, or wants one"
        cause = cause.__cause__ or cause.__context__
    return None
