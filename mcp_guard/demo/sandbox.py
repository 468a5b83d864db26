"""A payments service for the demo: keeps its own ledger, honours idempotency keys, misbehaves when told to.

    POST /v1/orders/{order}/refunds     {"amount": 42.5, "by": "user:alice", "reason": "…"}   with a bearer key
    POST /v1/accounts                   {"customer_id": "CUS-7", "by": "user:alice"}            with a bearer key
    POST /v1/accounts/{account}/STATE   {}; STATE is active or closed                           with a bearer key
    GET  /v1/ledger                     what really happened, as the service saw it
    POST /control                       {"mode": "ok|fail|hang|reset|garbage", "times": 1}

Run it alone with `mcp-guard demo --sandbox`.
"""

import hmac
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Mode = Literal["ok", "fail", "hang", "reset", "garbage"]

Entry = dict[str, Any]

_REFUNDS = re.compile(r"/v1/orders/(ORD-[0-9]{4,10})/refunds")
_ACCOUNTS = re.compile(r"/v1/accounts")
_ACCOUNT = re.compile(r"/v1/accounts/(ACC-[0-9]{4})/(active|closed)")
_HANG_SECONDS = 30.0


class Ledger:
    """Refunds and accounts. A second request with an idempotency key gets the first answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refunds: list[Entry] = []
        self._accounts: dict[str, Entry] = {}
        self._by_key: dict[str, Entry | None] = {}

    def refund(self, order: str, body: Entry) -> Entry:
        entry = {"refund_id": f"RF-{len(self._refunds) + 1:04}", "order_id": order, "status": "refunded", **body}
        self._refunds.append(entry)
        return entry

    def open_account(self, body: Entry) -> Entry:
        account = {**body, "account_id": f"ACC-{len(self._accounts) + 1:04}", "state": "new"}
        return self._accounts.setdefault(account["account_id"], account)

    def change_account(self, account: str, state: str) -> Entry | None:
        """The account in its new state; nothing where there is no such account."""
        if account in self._accounts:
            self._accounts[account] = {**self._accounts[account], "state": state}
        return self._accounts.get(account)

    def once(self, key: str | None, act: Callable[[], Entry | None]) -> Entry | None:
        """What `act` gives; with a key that was there before, what it gave then."""
        with self._lock:
            if key is None:
                return act()
            if key not in self._by_key:
                self._by_key[key] = act()
            return self._by_key[key]

    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._refunds)

    def accounts(self) -> list[Entry]:
        with self._lock:
            return list(self._accounts.values())

    def keys(self) -> set[str]:
        """The idempotency keys of everything that was done."""
        with self._lock:
            return set(self._by_key)


class Sandbox(ThreadingHTTPServer):
    """The service on a loopback port; `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, key: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.key = key
        self.ledger = Ledger()
        self._mode: Mode = "ok"
        self._times = 0
        self._stopping = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def misbehave(self, mode: Mode, times: int = 1) -> None:
        """Answer the next `times` requests to act in another way than well."""
        self._mode, self._times = mode, times

    @property
    def disturbances_left(self) -> int:
        """How many of the requests to misbehave at are still to come."""
        return self._times

    def next_mode(self) -> Mode:
        if self._times <= 0:
            return "ok"
        self._times -= 1
        return self._mode

    def hang(self) -> None:
        """Keep a client waiting until the service stops or half a minute is over."""
        self._stopping.wait(_HANG_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # a client that left is no error of the service

    def shutdown(self) -> None:
        self._stopping.set()
        super().shutdown()


@contextmanager
def running(key: str, port: int = 0) -> Iterator[Sandbox]:
    """The sandbox in a thread of this process, ended with the block."""
    sandbox = Sandbox(key, port)
    thread = threading.Thread(target=sandbox.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield sandbox
    finally:
        sandbox.shutdown()
        sandbox.server_close()
        thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Sandbox

    def do_GET(self) -> None:
        if self.path == "/v1/ledger":
            ledger = self.server.ledger
            self._answer(HTTPStatus.OK, {"refunds": ledger.entries(), "accounts": ledger.accounts()})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "not found"})

    def do_POST(self) -> None:
        body = self._body()
        act = None if body is None else self._act(body)
        if body is None:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "a JSON object is expected"})
        elif self.path == "/control":
            self.server.misbehave(body.get("mode", "ok"), int(body.get("times", 1)))
            self._answer(HTTPStatus.OK, {"ok": True})
        elif act is None:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
        elif not self._is_authorized():
            self._answer(HTTPStatus.UNAUTHORIZED, {"error": "a valid key is required"})
        else:
            self._carry_out(act)

    def _act(self, body: Entry) -> Callable[[], Entry | None] | None:
        """What the path asks for."""
        ledger = self.server.ledger
        if refund := _REFUNDS.fullmatch(self.path):
            return lambda: ledger.refund(refund.group(1), body)
        if _ACCOUNTS.fullmatch(self.path):
            return lambda: ledger.open_account(body)
        if account := _ACCOUNT.fullmatch(self.path):
            return lambda: ledger.change_account(*account.groups())
        return None

    def _carry_out(self, act: Callable[[], Entry | None]) -> None:
        mode = self.server.next_mode()
        if mode == "fail":
            return self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "try again"})
        if mode == "hang":
            return self.server.hang()
        entry = self.server.ledger.once(self.headers.get("Idempotency-Key"), act)
        if mode == "reset":  # the worst kind: it happened, and nobody is told
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        if mode == "garbage":
            return self._send(HTTPStatus.OK, "text/html", b"<html>an error page with status 200</html>")
        if entry is None:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "there is no such account"})
        return self._answer(HTTPStatus.OK, entry)

    def _is_authorized(self) -> bool:
        return hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.server.key}")

    def _body(self) -> dict[str, Any] | None:
        try:
            value = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _answer(self, status: HTTPStatus, value: object) -> None:
        self._send(status, "application/json", json.dumps(value).encode())

    def _send(self, status: HTTPStatus, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Silent: the demo's own output is the story."""
