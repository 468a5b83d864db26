"""Something in front of a PostgreSQL server: it adds TLS to one that has none, or cuts the line at a word.

TLS begins as the protocol says (PostgreSQL 18, section 54.2.11): a client meets a real handshake.
"""

import selectors
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@dataclass(slots=True)
class Front:
    """Runs inside a `with` block on loopback and a free port, before the server on the port `behind`.

    With `context` it speaks TLS, and `plain` counts who did not. A client that says `cut` is heard, and never answered.
    """

    behind: int
    context: ssl.SSLContext | None = None
    cut: bytes | None = None
    plain: int = 0
    _listener: socket.socket = field(init=False)
    _threads: list[threading.Thread] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> "Front":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._start(self._accept)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                self._start(self._serve, self._listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(10)
            server = socket.create_connection(("127.0.0.1", self.behind))
            if self.context is None:
                with server:
                    self._pass_on(client, server)
                return
            if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                self.plain += 1
                server.close()
                return
            client.sendall(b"S")
            with server, self.context.wrap_socket(client, server_side=True) as secure:
                self._pass_on(secure, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while not self._over.is_set():
                for key, _ in selector.select(0.05):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    while isinstance(source, ssl.SSLSocket) and source.pending():
                        data += source.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)
                    if self.cut is not None and source is client and self.cut in data:
                        server.recv(1)  # it was heard, and is done by now
                        return
