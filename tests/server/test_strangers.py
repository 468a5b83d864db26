"""What strangers and misbehaving tools tried, and what they get: nothing they should not have, and one record."""

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Desk
from tests.simulators.process import Program
from tests.simulators.raw import Answer, call_body, exchange, request

FUNCTIONS = """\
import asyncio

class Weird(BaseException):
    pass

async def weird() -> None:
    raise Weird()

async def interrupting() -> None:
    raise KeyboardInterrupt()

async def giving_up() -> None:
    asyncio.current_task().cancel()
    await asyncio.sleep(0)

async def slow() -> dict[str, bool]:
    await asyncio.sleep(1.5)
    return {"done": True}

def echo(text: str) -> dict[str, object]:
    return {"text": text, "keys": {"a\\u200b": 1, "a": 2}}
"""


def _tool(name: str, properties: str = "{}", effects: str = "once") -> str:
    return (
        f"  - name: {name}\n    description: For a test.\n    effects: {effects}\n"
        f"    inputSchema: {{type: object, properties: {properties}}}\n"
        f'    python: {{function: "strange_tools:{name}"}}\n'
    )


@pytest.fixture
def strange(desk: Program) -> Program:
    """The example home with tools that misbehave."""
    (desk.home / "strange_tools.py").write_text(FUNCTIONS, encoding="utf-8")
    tools = "".join(_tool(name) for name in ("weird", "interrupting", "giving_up", "slow"))
    tools += _tool("echo", "{text: {type: string}}", effects="none")
    head = "apiVersion: mcp-guard/v1\nkind: Tools\ntoolset: orders\ntools:\n"
    (desk.home / "tool_manifests" / "strange.yaml").write_text(head + tools, encoding="utf-8")
    return desk


def _records(program: Program) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(program.home / "var" / "guard.db")) as database:
        return [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]


async def _call(port: int, token: str, tool: str, **arguments: object) -> Answer:
    return await exchange(port, request(port, call_body(tool, arguments), token=token, tool=tool))


@pytest.mark.holds("pipeline:always-an-outcome")
@pytest.mark.parametrize("tool", ["weird", "interrupting", "giving_up"])
async def test_whatever_a_tool_raises_the_call_ends_in_one_outcome(tool: str, strange: Program) -> None:
    token = strange.token("user:alice", "--client", "agent:local")
    with strange.http() as serving:
        answer = await _call(serving.port, token, tool)
        guard = answer.json["result"]["structuredContent"]["guard"]  # type: ignore[index]
        assert (guard["executed"], guard["retry"]) == ("unknown", "never"), "repeating it could do it twice"
        again = await _call(serving.port, token, "orders_get", order_id="ORD-1001")
        assert again.json["result"]["isError"] is False, "the server is still there"  # type: ignore[index]
    kinds = [
        (record["kind"], record.get("status")) for record in _records(strange) if record.get("call") == guard["call"]
    ]
    assert kinds[0] == ("intent", None)
    assert [kind for kind, _ in kinds] == ["intent", "outcome"]


@pytest.mark.holds("secrets:hidden-characters")
async def test_a_hidden_character_does_not_carry_a_secret_out(strange: Program, payments_secret: str) -> None:
    token = strange.token("user:alice", "--client", "agent:local")
    with strange.http() as serving:
        await _call(serving.port, token, "payments_refund", order_id="ORD-1002", amount=1)
        split = payments_secret[:9] + "\u200b" + payments_secret[9:]
        answer = await _call(serving.port, token, "echo", text=split)
    assert payments_secret.encode() not in answer.body
    result: Any = answer.json["result"]
    assert result["structuredContent"]["keys"] == {"a 2": 1, "a": 2}, "no member is lost"


@pytest.mark.holds("secrets:nowhere-in-clear")
async def test_a_secret_as_the_name_of_a_tool_or_client_is_not_recorded(served: Desk) -> None:
    token = served.tokens["alice"]
    body = json.loads(call_body("x" + token, {}))
    body["params"]["name"] = token
    body["params"]["_meta"]["io.modelcontextprotocol/clientInfo"] = {"name": token, "version": "1"}
    data = request(served.serving.port, json.dumps(body).encode(), token=token, tool=token)
    await exchange(served.serving.port, data)
    for path in (served.program.home / "var").glob("guard.db*"):
        assert token.encode() not in path.read_bytes(), path.name


@pytest.mark.holds("policy:hidden-is-unknown")
async def test_ones_own_records_do_not_tell_hidden_from_unknown(served: Desk) -> None:
    port, token = served.serving.port, served.tokens["alice via untrusted"]
    for tool in ("payments_refund", "customers_delete", "nope_nope"):
        await _call(port, token, tool)
    body: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "resources/read",
        "params": {**json.loads(call_body("x", {}))["params"], "uri": "audit://records?kind=outcome&limit=3"},
    }
    del body["params"]["name"], body["params"]["arguments"]
    uri = body["params"]["uri"]
    data = request(port, json.dumps(body).encode(), token=token, tool=uri).replace(b"tools/call", b"resources/read", 1)
    answer = await exchange(port, data)
    contents: Any = answer.json["result"]["contents"]  # type: ignore[index]
    records = json.loads(contents[0]["text"])["records"]
    assert [record["tool"] for record in records] == ["nope_nope", "customers_delete", "payments_refund"]
    told = {
        json.dumps({key: record.get(key) for key in ("decision", "status", "code", "executed")}) for record in records
    }
    assert len(told) == 1
    assert {len(record) for record in records} == {len(records[0])}, "nothing more stands in one than in another"


def test_header_parameters_are_refused_at_load(desk: Program) -> None:
    path = desk.home / "tool_manifests" / "customers.yaml"
    path.write_text(path.read_text().replace("{type: string, ", "{type: string, x-mcp-header: Customer, "))
    done = desk.run("tools", "lint")
    assert done.status == 3
    assert "error[unsupported]" in done.out


@pytest.mark.holds("wire:malformed-calls-recorded")
@pytest.mark.parametrize(
    "change",
    [{"arguments": []}, {"arguments": "x"}, {"name": 123}, {"name": None}],
    ids=["list", "text", "number", "null"],
)
async def test_a_malformed_call_says_what_was_expected_and_is_on_record(change: dict[str, Any], served: Desk) -> None:
    body = json.loads(call_body("orders_get", {"order_id": "ORD-1001"}))
    body["params"] |= change
    port = served.serving.port
    before = len(_records(served.program))
    name = body["params"]["name"] if isinstance(body["params"]["name"], str) else "orders_get"
    answer = await exchange(port, request(port, json.dumps(body).encode(), token=served.tokens["alice"], tool=name))
    assert answer.status == 400
    assert "error" in answer.json
    faults = [record for record in _records(served.program)[: before + 50] if record["kind"] == "fault"]
    assert {"params", "http_400"} & {record["state"]["code"] for record in faults}


def _stdio(program: Program) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        program.command("--quiet", "serve", "--stdio"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _send(process: "subprocess.Popen[bytes]", line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line + b"\n")
    process.stdin.flush()


def _wait_for_intent(home: Path, process: "subprocess.Popen[bytes]") -> None:
    while not any(record["kind"] == "intent" for record in _records(Program(home))):
        assert process.poll() is None


@pytest.mark.holds("surface:stopping-answers")
def test_a_call_in_flight_is_answered_before_a_stopping_server_leaves(strange: Program) -> None:
    assert strange.run("call", "orders_get", "order_id=ORD-1001").status == 0  # the store is there to look at
    with _stdio(strange) as process:
        _send(process, call_body("slow", {}, identifier="slow"))
        _wait_for_intent(strange.home, process)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        answer = json.loads(process.stdout.readline())
        assert answer["id"] == "slow"
        assert answer["result"]["structuredContent"] == {"done": True}
        assert process.wait(timeout=60) == 0


def test_a_cancelled_request_does_not_keep_a_leaving_client_waiting(strange: Program) -> None:
    with _stdio(strange) as process:
        _send(process, call_body("slow", {}, identifier=7))
        _send(process, b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}')
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0
