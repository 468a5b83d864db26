"""What the operator's and the agent's own questions look like on the wire: freezes, dry runs, permissions, lists."""

import json
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ReadResourceResult

from mcp_guard.demo.sandbox import Sandbox
from tests.server.conftest import ERAS, TRANSPORTS, Connect, Desk
from tests.simulators.raw import META, exchange, request

SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]
DRY_RUN = "mcp-guard/dry_run"
REFUND = {"order_id": "ORD-1002", "amount": 5}


def _guard(result: CallToolResult) -> dict[str, Any]:
    assert isinstance(result.structured_content, dict)
    guard: dict[str, Any] = result.structured_content["guard"]
    return guard


def _document(result: ReadResourceResult) -> Any:
    return json.loads(result.contents[0].text)  # type: ignore[union-attr]  # ours are always text


def _dry_run(value: object) -> Any:
    return {DRY_RUN: value}


@pytest.mark.holds("freeze:stops", "freeze:every-process", "freeze:reads")
@pytest.mark.parametrize("era", ERAS)
async def test_a_freeze_reaches_a_serving_process_at_once(era: str, connect: Connect, served: Desk) -> None:
    async with connect("http", era, "bob") as client:
        before = [tool.name for tool in (await client.list_tools()).tools]
        served.program.run("freeze", "--subject", "user:bob", "--reason", "laptop stolen")
        try:
            stopped = await client.call_tool("orders_get", {"order_id": "ORD-1001"})
            assert stopped.is_error
            assert _guard(stopped)["code"] == "frozen"
            assert stopped.content[0].text == "denied: laptop stolen (rule guard:frozen)"  # type: ignore[union-attr]
            assert [tool.name for tool in (await client.list_tools()).tools] == before
            with pytest.raises(MCPError, match="laptop stolen") as caught:
                await client.read_resource("audit://records")
            assert caught.value.error.data == {"code": "frozen", "rule": "guard:frozen"}
            with pytest.raises(MCPError) as unknown:
                await client.call_tool("customers_delete", {})
            assert (unknown.value.code, unknown.value.message) == (-32602, "Unknown tool")
        finally:
            served.program.run("unfreeze", "--subject", "user:bob")
        assert not (await client.call_tool("orders_get", {"order_id": "ORD-1001"})).is_error


@pytest.mark.holds("dry-run:decides-only")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_a_dry_run_runs_nothing(transport: str, era: str, connect: Connect, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    async with connect(transport, era) as client:
        await client.list_tools()  # the client validates what is answered against the output schemas it has seen
        told = await client.call_tool("payments_refund", REFUND, meta=_dry_run(True))
        assert (told.is_error, _guard(told)["code"], _guard(told)["rule"]) == (False, "dry_run", "refund-small")
        denied = await client.call_tool("payments_refund", {**REFUND, "amount": 9000}, meta=_dry_run(True))
        assert (denied.is_error, _guard(denied)["effect"]) == (False, "deny")
        with pytest.raises(MCPError) as caught:
            await client.call_tool("customers_delete", {"customer_id": "CUS-1001"}, meta=_dry_run(True))
        assert (caught.value.code, caught.value.message) == (-32602, "Unknown tool")
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("dry-run:never-an-act")
@pytest.mark.parametrize("era", ERAS)
async def test_whatever_else_stands_there_is_refused(era: str, connect: Connect, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    async with connect("http", era) as client:
        for value in (False, 1, 0, 1.0, "true", "yes", "", [], [True], {}, {"x": True}):
            refused = await client.call_tool("payments_refund", REFUND, meta=_dry_run(value))
            assert (refused.is_error, _guard(refused)["code"]) == (True, "args_invalid"), value
            assert _guard(refused)["executed"] == "no"
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("dry-run:never-an-act")
@pytest.mark.parametrize("more", [{}, {"task": {"ttl": 1000}}, {"inputResponses": {}}], ids=str)
async def test_both_ways_into_a_call_honour_it(more: dict[str, object], served: Desk, payments: Sandbox) -> None:
    """A plain modern call takes a shortcut past the SDK; one with anything more to it goes the SDK's way."""
    before = len(payments.ledger.entries())
    for value in (True, "true", False, None, 1):
        params = {"name": "payments_refund", "arguments": REFUND, "_meta": {**META, DRY_RUN: value}, **more}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        port = served.serving.port
        answer = await exchange(port, request(port, body, token=served.tokens["alice"], tool="payments_refund"))
        result: Any = answer.json["result"]
        expected = "dry_run" if value is True else "args_invalid"
        assert result["structuredContent"]["guard"]["code"] == expected, answer.body
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("permissions:true", "permissions:hidden-stays-hidden")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_permissions_are_a_resource(transport: str, era: str, connect: Connect) -> None:
    async with connect(transport, era) as client:
        listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert {"guard://permissions", "guard://whoami"} <= listed
        rows = _document(await client.read_resource("guard://permissions"))["tools"]
        shown = [tool.name for tool in (await client.list_tools()).tools]
        assert [row["tool"] for row in rows] == [name for name in shown if not name.startswith("task_")]
        for uri in ("guard://permissions?tool=customers_delete", "guard://permissions/customers_delete"):
            with pytest.raises(MCPError, match="Unknown resource"):
                await client.read_resource(uri)


def _lists(desk: Desk, subject: str) -> list[Any]:
    page = desk.program.run("--json", "audit", "query", "--kind", "read", "--actor", subject, "--limit", "500").json
    return [record["state"] for record in page["records"] if record["state"]["what"] == "tools"]


@pytest.mark.holds("audit:lists-recorded", "audit:lists-bounded")
@pytest.mark.parametrize("era", ERAS)
async def test_a_list_is_on_record_and_says_nothing_to_whom_it_withholds(
    era: str, connect: Connect, served: Desk
) -> None:
    async with connect("http", era, "alice via untrusted") as client:
        listed = [[tool.name for tool in (await client.list_tools()).tools] for _ in range(20)]
        own = _document(await client.read_resource("audit://records?kind=read&limit=500"))["records"]
    shown = [record["state"] for record in own if record["state"]["what"] == "tools"]
    assert shown
    assert not any({"withheld", "by"} & set(state) for state in shown), "their own records tell of no hidden tools"
    states = [state for state in _lists(served, "user:alice") if "untrusted-agents" in state["by"]]
    assert states
    assert len(states) < 20
    assert states[0]["count"] == len(listed[0])
    assert states[0]["withheld"] > 0
