"""The gate's answers while identity itself is in trouble."""

import json
from typing import Any

import pytest
from starlette.types import Message

from mcp_guard.identity.refusal import IssuerUnavailable
from mcp_guard.model.errors import GuardError, StoreUnavailable
from mcp_guard.model.principal import Principal
from mcp_guard.server.gate import Gate


async def _ask(failure: GuardError) -> tuple[int, Any, list[str]]:
    sent: list[Message] = []
    faults: list[str] = []

    async def authenticate(_: str) -> Principal:
        raise failure

    async def on_fault(code: str, _: Principal | None) -> None:
        faults.append(code)

    async def send(message: Message) -> None:
        sent.append(message)

    async def never(*_: Any) -> Any:
        raise AssertionError("nobody is let in, and nothing is read")

    headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer a.b.c")]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers}
    await Gate(never, authenticate, on_fault, frozenset())(scope, never, send)
    return sent[0]["status"], json.loads(sent[1]["body"]), faults


@pytest.mark.holds("identity:issuer-down")
async def test_without_keys_a_token_is_neither_good_nor_bad() -> None:
    """A 401 would send the client off to get a new token, which would not be judged either."""
    unavailable = {"error": "temporarily unavailable"}
    assert await _ask(IssuerUnavailable()) == (503, unavailable, ["issuer_unavailable"])
    assert await _ask(StoreUnavailable()) == (503, unavailable, [])
