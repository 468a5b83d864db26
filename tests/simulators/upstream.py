"""An upstream the attacker controls: a real loopback server that answers every request as it is told to.

Tests count what reached it (`connections`, `hits`, `requests`), not what an error text says. A behaviour is a function
of the request seen and the wire to answer on; the ones below cover what a hostile or broken service does.
"""

import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

_STEP = 0.05  # seconds between two looks at whether the test is over


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived: the target byte for byte, headers in order with their names in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass(slots=True)
class Wire:
    """The connection to answer on. `over` is set when the simulator is being stopped."""

    socket: socket.socket
    over: threading.Event
    closing: bool = False

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def respond(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} Simulated", *(f"{name}: {value}" for name, value in headers)]
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body)

    def hang_up(self) -> None:
        self.closing = True

    def wait_until_gone(self) -> None:
        """Until the other side hangs up or the test is over."""
        self.socket.settimeout(_STEP)
        while not self.over.is_set():
            try:
                if not self.socket.recv(4096):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


Behaviour = Callable[[Seen, Wire], None]


# --- behaviours -----------------------------------------------------------------------------------------------------


def answer(
    value: object = None, *, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "application/json"
) -> Behaviour:
    """A JSON answer."""
    return text(json.dumps(value), status=status, headers=headers, kind=kind)


def text(
    body: str | bytes, *, status: int = 200, headers: Mapping[str, str] | None = None, kind: str | None = "text/plain"
) -> Behaviour:
    """An answer of any kind; `kind` None sends no content type."""
    data = body.encode() if isinstance(body, str) else body
    typed = [("Content-Type", kind)] if kind is not None else []

    def behave(_: Seen, wire: Wire) -> None:
        wire.respond(status, [*typed, *(headers or {}).items()], data)

    return behave


def echo(status: int = 200) -> Behaviour:
    """Everything that was sent, sent back: in the body, in a header, and in every value that could hold it."""

    def behave(seen: Seen, wire: Wire) -> None:
        body = {"target": seen.target, "headers": dict(seen.headers), "body": seen.body.decode("utf-8", "replace")}
        headers = [("Content-Type", "application/json"), ("X-Echo", seen.header("authorization") or "-")]
        wire.respond(status, headers, json.dumps(body).encode())

    return behave


def redirect(to: str, status: int = 302) -> Behaviour:
    return text("", status=status, headers={"Location": to})


def raw(data: bytes) -> Behaviour:
    """Bytes that may or may not be HTTP, then the end."""

    def behave(_: Seen, wire: Wire) -> None:
        wire.send(data)
        wire.hang_up()

    return behave


def silent(_: Seen, wire: Wire) -> None:
    """Take the request and never answer."""
    wire.wait_until_gone()
    wire.hang_up()


def reset(_: Seen, wire: Wire) -> None:
    """Take the request and tear the connection down (RST)."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.hang_up()


def hang_up(_: Seen, wire: Wire) -> None:
    """Take the request and close in good order, without an answer."""
    wire.hang_up()


def drip(every: float = _STEP) -> Behaviour:
    """A correct answer, one byte at a time, for ever: each byte comes before any read could time out."""

    def behave(_: Seen, wire: Wire) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
        while not wire.over.wait(every):
            wire.send(b" ")

    return behave


def drip_headers(_: Seen, wire: Wire) -> None:
    """Headers that never end, slowly."""
    wire.send(b"HTTP/1.1 200 OK\r\n")
    while not wire.over.wait(_STEP):
        wire.send(b"X-More: 1\r\n")


def endless(status: int = 200) -> Behaviour:
    """A body without end and without a length, as fast as it is taken."""

    def behave(_: Seen, wire: Wire) -> None:
        wire.send(f"HTTP/1.1 {status} S\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while not wire.over.is_set():
            wire.send(chunk)

    return behave


def announced(length: int, body: bytes = b"{}") -> Behaviour:
    """A length that is not the body's; then the end."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return raw(head.encode() + body)


def gzip_bomb(size: int = 64 * 1024 * 1024) -> Behaviour:
    """A small compressed body that would unpack to `size` bytes, although nobody offered to accept it."""
    return text(gzip.compress(b"0" * size), kind="application/json", headers={"Content-Encoding": "gzip"})


def after(*behaviours: Behaviour) -> Behaviour:
    """One behaviour a request, in order; the last one stays."""
    waiting = list(behaviours)

    def behave(seen: Seen, wire: Wire) -> None:
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(seen, wire)

    return behave


# --- the server -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class UpstreamSimulator:
    """Runs inside a `with` block, on `host` and a free port. `tls` makes it speak TLS.

    `connections` counts those ever made, `open` those not closed yet, `requests` every complete request.
    """

    behaviour: Behaviour = field(default_factory=lambda: answer({"ok": True}))
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    connections: int = 0
    open: int = 0
    requests: list[Seen] = field(default_factory=list)
    _listener: socket.socket = field(init=False)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    @property
    def hits(self) -> int:
        return len(self.requests)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def last(self) -> Seen:
        return self.requests[-1]

    def url(self, path: str = "/", host: str | None = None) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    def __enter__(self) -> "UpstreamSimulator":
        self._listener = socket.create_server((self.host, 0))
        self._listener.settimeout(_STEP)
        self._start(self._accept)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        for held in (self._listener, *self._sockets):  # wakes most threads; the others look at `_over` soon
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        while self._threads:
            self._threads.pop().join(10)
        self._listener.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # woken for the end
                return
            with self._lock:
                self.connections += 1
                self.open += 1
                self._sockets.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:  # the other side is gone, which is often the point of the test
            connection.settimeout(10)
            secured = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            with secured:
                self._converse(secured)
        with self._lock:
            self.open -= 1

    def _converse(self, connection: socket.socket) -> None:
        wire = Wire(connection, self._over)
        buffer = b""
        while not wire.closing and not self._over.is_set():
            connection.settimeout(_STEP)
            while b"\r\n\r\n" not in buffer:
                buffer += self._receive(connection)
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            seen = _parse(head)
            length = int(seen.header("content-length") or 0)
            while len(buffer) < length:
                buffer += self._receive(connection)
            body, buffer = buffer[:length], buffer[length:]
            complete = Seen(seen.method, seen.target, seen.headers, body)
            with self._lock:
                self.requests.append(complete)
            connection.settimeout(10)
            self.behaviour(complete, wire)

    def _receive(self, connection: socket.socket) -> bytes:
        while not self._over.is_set():
            try:
                data = connection.recv(65536)
            except TimeoutError:
                continue
            if not data:
                break
            return data
        raise ConnectionError("the conversation is over")


def _parse(head: bytes) -> Seen:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = (line.partition(":") for line in lines)
    return Seen(method, target, tuple((name.strip().lower(), value.strip()) for name, _, value in fields), b"")
