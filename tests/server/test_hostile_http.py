"""Strangers and broken clients over HTTP: a clear answer, nothing executed, the next good call fine, all on record."""

import asyncio
import json

import pytest

from mcp_guard.kit.platform import allow_open_files
from mcp_guard.server.patience import MAX_CONNECTIONS
from mcp_guard.server.wire import MAX_MESSAGE_BYTES
from tests.server.conftest import Desk
from tests.simulators.raw import Answer, call_body, exchange, read_answer, request

GOOD = call_body("orders_get", {"order_id": "ORD-1001"})


async def _post(desk: Desk, body: bytes, **options: object) -> Answer:
    token = options.pop("token", desk.tokens["alice"])
    data = request(desk.serving.port, body, token=token, **options)  # type: ignore[arg-type]  # a table of options
    return await exchange(desk.serving.port, data)


async def _good_call_still_works(desk: Desk) -> None:
    answer = await _post(desk, GOOD)
    assert answer.status == 200
    assert answer.json["result"]["isError"] is False  # type: ignore[index]


def _faults(desk: Desk) -> set[str]:
    page = desk.program.run("--json", "audit", "query", "--kind", "fault", "--limit", "500").json
    return {record["state"]["code"] for record in page["records"]}


WIRE = [
    (b"", "empty"),
    (b"hello", "not_json"),
    (b'"\xff"', "bad_utf8"),
    (GOOD[:-1], "not_json"),
    (GOOD.replace(b'"order_id"', b'"order_id": "x", "order_id"'), "duplicate_key"),
    (call_body("payments_refund", {"amount": 0}).replace(b": 0}", b": NaN}"), "number_range"),
    (call_body("payments_refund", {"amount": 0}).replace(b": 0}", b": 1e999}"), "number_range"),
    (call_body("payments_refund", {"amount": 0}).replace(b": 0}", b": " + b"9" * 5000 + b"}"), "number_range"),
    (call_body("orders_get", {"order_id": "\ud800"}), "lone_surrogate"),
    (call_body("orders_get", {"x": json.loads("[" * 70 + "]" * 70)}), "too_deep"),
    (b"[" * 900, "too_deep"),
    (b"[" * 100_000, "too_deep"),
    (b"[" + GOOD + b"," + GOOD + b"]", "batch"),
    (b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}', "id"),
    (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', "version"),
    (GOOD + b" " * (MAX_MESSAGE_BYTES + 1 - len(GOOD)), "too_large"),
    (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\x00"}}', "not_json"),
]


@pytest.mark.holds("wire:hostile-http")
@pytest.mark.parametrize(("body", "code"), WIRE, ids=[f"{code}-{n}" for n, (_, code) in enumerate(WIRE)])
async def test_a_bad_body_is_answered_and_recorded(body: bytes, code: str, served: Desk) -> None:
    answer = await _post(served, body)
    assert answer.status == (413 if code == "too_large" else 400)
    error = answer.json["error"]
    assert error["data"]["code"] == code  # type: ignore[index]
    await _good_call_still_works(served)
    assert code in _faults(served)


async def test_a_body_of_exactly_the_cap_is_read(served: Desk) -> None:
    answer = await _post(served, GOOD + b" " * (MAX_MESSAGE_BYTES - len(GOOD)))
    assert answer.status == 200


@pytest.mark.holds("identity:http-needs-a-token")
@pytest.mark.parametrize(
    "header",
    [
        (),
        ("Authorization: Bearer ",),
        ("Authorization: Bearer nonsense",),
        ("Authorization: Basic YWxpY2U6eA==",),
        ("Authorization: Bearer mcpg_aaaaaaaaaaaaaaaa_" + "0" * 64,),
        ("Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyOmFsaWNlIn0.",),
        ("Authorization: Bearer \xff\xfe",),
    ],
)
async def test_strangers_learn_one_constant_text(header: tuple[str, ...], served: Desk) -> None:
    answers = [await _post(served, body, token=None, extra=header) for body in (GOOD, b"junk", b"")]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_two_tokens_are_no_token(served: Desk) -> None:
    extra = (f"Authorization: Bearer {served.tokens['alice']}",)
    assert (await _post(served, GOOD, extra=extra)).status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "[::1", "x@127.0.0.1"]
)
async def test_a_foreign_host_is_misdirected(host: str, served: Desk) -> None:
    assert (await _post(served, GOOD, host=host)).status == 421


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "file://", "http://127.0.0.1.evil.example"])
async def test_a_foreign_origin_is_refused(origin: str, served: Desk) -> None:
    assert (await _post(served, GOOD, extra=(f"Origin: {origin}",))).status == 403


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"extra": ("Content-Encoding: gzip",)}, 415),
        ({"path": "/mcp/../healthz"}, 404),
        ({"path": "/nothing"}, 404),
        ({"tool": "payments_refund"}, 400),
    ],
)
async def test_headers_that_do_not_fit(change: dict[str, object], status: int, served: Desk) -> None:
    assert (await _post(served, GOOD, **change)).status == status
    await _good_call_still_works(served)


@pytest.mark.holds("wire:slow-clients")
async def test_half_sent_requests_are_not_held_open(served: Desk) -> None:
    whole = request(served.serving.port, GOOD, token=served.tokens["alice"])
    halves = {
        "nothing": b"",
        "half a request line": b"POST /m",
        "half a header": whole[:60],
        "half a body": whole[:-20],
        "half of a second request": whole + whole[:50],
    }

    async def hold(data: bytes) -> bytes:
        """Send, never again, and read until the server hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", served.serving.port)
        writer.write(data)
        async with asyncio.timeout(60):
            received = await reader.read()
        writer.close()
        return received

    ends = dict(zip(halves, await asyncio.gather(*map(hold, halves.values())), strict=True))
    assert ends["nothing"] == ends["half a request line"] == ends["half a header"] == b""
    assert ends["half a body"].startswith(b"HTTP/1.1 408")
    assert ends["half of a second request"].count(b"HTTP/1.1 200") == 1
    await _good_call_still_works(served)


@pytest.mark.holds("wire:connections-not-hoarded")
@pytest.mark.parametrize("asks", [b"", b"POST /mcp HTTP/1.1\r\n"], ids=["silent", "half a head"])
async def test_whoever_only_connects_does_not_keep_others_out(asks: bytes, served: Desk) -> None:
    port = served.serving.port
    good = request(port, GOOD, token=served.tokens["alice"])
    known, known_writer = await asyncio.open_connection("127.0.0.1", port)
    known_writer.write(good)
    assert (await read_answer(known)).status == 200
    allow_open_files(MAX_CONNECTIONS * 2)
    hoard: list[asyncio.StreamWriter] = []
    try:
        for _ in range(MAX_CONNECTIONS + 100):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asks)
            hoard.append(writer)
        await _good_call_still_works(served)
        known_writer.write(good)
        assert (await read_answer(known)).status == 200, "who showed a token stays connected"
    finally:
        for writer in [*hoard, known_writer]:
            writer.close()
    await _good_call_still_works(served)


async def test_health_needs_no_token_and_says_little(served: Desk) -> None:
    port = served.serving.port
    answer = await exchange(port, f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert (answer.status, answer.json) == (200, {"ok": True})


@pytest.mark.holds("identity:revocation")
async def test_a_revoked_token_is_refused_on_the_next_request(served: Desk) -> None:
    token = served.program.token("user:alice")
    assert (await _post(served, GOOD, token=token)).status == 200
    assert served.program.run("token", "revoke", token.split("_")[1]).status == 0
    assert (await _post(served, GOOD, token=token)).status == 401


async def test_an_expired_token_is_refused(served: Desk) -> None:
    token = served.program.token("user:alice", "--expires", "1s")
    async with asyncio.timeout(60):
        while (await _post(served, GOOD, token=token)).status == 200:
            await asyncio.sleep(0.05)


async def test_a_session_cannot_be_taken_over_with_another_token(served: Desk) -> None:
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
    }
    port = served.serving.port

    def legacy(who: str, body: object, *extra: str) -> bytes:
        data = json.dumps(body).encode()
        lines = [
            "POST /mcp HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"Content-Length: {len(data)}",
            f"Authorization: Bearer {served.tokens[who]}",
            *extra,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data

    opened = await exchange(port, legacy("alice", initialize))
    session = f"Mcp-Session-Id: {opened.headers['mcp-session-id']}"
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    stolen = await exchange(port, legacy("bob", listing, session, "MCP-Protocol-Version: 2025-11-25"))
    assert stolen.status == 404
