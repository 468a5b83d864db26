"""What a client of either era sees over either transport: the same governed home."""

import json
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ReadResourceResult

from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.note import Checkpoint, parse_note
from mcp_guard.model.tlog_proof import TlogProof
from tests.server.conftest import ERAS, TRANSPORTS, Connect, Desk

SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]
RECEIPT = "mcp-guard/receipt"


def _guard(result: CallToolResult) -> dict[str, Any]:
    assert isinstance(result.structured_content, dict)
    guard: dict[str, Any] = result.structured_content["guard"]
    return guard


def _document(result: ReadResourceResult) -> Any:
    return json.loads(result.contents[0].text)  # type: ignore[union-attr]  # ours are always text


@pytest.mark.holds("surface:both-eras-both-transports")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_the_story(transport: str, era: str, connect: Connect, payments: Sandbox, served: Desk) -> None:
    before = len(payments.ledger.entries())
    async with connect(transport, era) as client:
        listed = await client.list_tools()
        names = [tool.name for tool in listed.tools]
        assert names == sorted(names)
        assert {"orders_get", "payments_refund"} <= set(names)
        refund = next(tool for tool in listed.tools if tool.name == "payments_refund")
        assert "requested_by" not in refund.input_schema["properties"], "bound arguments are not the agent's"
        assert "justification" in refund.input_schema["properties"]

        found = await client.call_tool("orders_get", {"order_id": "ORD-1001"})
        assert not found.is_error
        assert isinstance(found.structured_content, dict)
        assert found.structured_content["rows"][0]["item"] == "standing desk"
        assert json.loads(found.content[0].text) == found.structured_content  # type: ignore[union-attr]
        receipt = (found.meta or {})[RECEIPT]
        head = Checkpoint.parse(parse_note(receipt["checkpoint"].encode()).text)
        assert head.size > receipt["n"]
        assert head.origin == receipt["log"]
        assert receipt["log"].startswith("support-desk/")

        done = await client.call_tool("payments_refund", {"order_id": "ORD-1002", "amount": 5, "reason": "a scratch"})
        assert isinstance(done.structured_content, dict)
        assert done.structured_content["by"] == "user:alice"

        pending = await client.call_tool("payments_refund", {"order_id": "ORD-1002", "amount": 800})
        guard = _guard(pending)
        assert not pending.is_error
        assert (guard["code"], guard["effect"], guard["executed"]) == ("approval_pending", "require_approval", "no")

        denied = await client.call_tool("payments_refund", {"order_id": "ORD-1002", "amount": 9000})
        guard = _guard(denied)
        assert (guard["code"], guard["rule"], guard["retry"]) == ("policy_denied", "refund-limit", "never")
        text = denied.content[0].text  # type: ignore[union-attr]
        assert text == f"denied: {guard['reason']} (rule refund-limit)"

        wrong = await client.call_tool("payments_refund", {"order_id": "ORD-1002", "amount": "5"})
        assert _guard(wrong)["code"] == "args_invalid"

        page = _document(await client.read_resource("audit://records?limit=3&tool=payments_refund"))
        assert [record["kind"] for record in page["records"]] == ["outcome"] * 3
        call = _document(await client.read_resource(f"audit://call/{receipt['call']}"))
        assert call["records"][-1]["_n"] == receipt["n"]
        assert _document(await client.read_resource("guard://whoami"))["sub"] == "user:alice"
        assert _document(await client.read_resource("audit://status"))["records"] > 0
        proof = _document(await client.read_resource(f"audit://proof/{receipt['n']}"))
        assert proof["leaf"] == receipt["leaf"]
        assert TlogProof.parse(proof["proof"].encode()).index == receipt["n"]
        assert _document(await client.read_resource("audit://checkpoint"))["size"] > receipt["n"]
    assert len(payments.ledger.entries()) == before + 1, "one refund was allowed, one happened"


@pytest.mark.holds("policy:hidden-is-unknown")
@pytest.mark.parametrize("era", ERAS)
async def test_hidden_answers_exactly_like_unknown(era: str, connect: Connect) -> None:
    async with connect("http", era, "alice via untrusted") as client:
        seen = {tool.name for tool in (await client.list_tools()).tools}
        assert "payments_refund" not in seen
        answers = []
        for name in ("payments_refund", "no_such_tool"):
            with pytest.raises(MCPError) as caught:
                await client.call_tool(name, {"order_id": "ORD-1002", "amount": 1})
            answers.append((caught.value.code, caught.value.message, caught.value.error.data))
        assert answers[0] == answers[1] == (-32602, "Unknown tool", None)


@pytest.mark.holds("audit:rows-scope")
async def test_everybody_reads_only_the_rows_policy_gives_them(connect: Connect) -> None:
    async with connect("http", ERAS[1], "bob") as bob:
        await bob.call_tool("orders_get", {"order_id": "ORD-1001"})
    async with connect("http", ERAS[1], "alice") as alice:
        await alice.call_tool("orders_get", {"order_id": "ORD-1001"})
        own = _document(await alice.read_resource("audit://records?limit=500"))["records"]
        assert {record["actor"]["sub"] for record in own if "actor" in record} == {"user:alice"}
    async with connect("http", ERAS[1], "carol") as carol:
        await carol.read_resource("audit://status")
        everything = _document(await carol.read_resource("audit://records?limit=500"))["records"]
        assert {"user:alice", "user:bob", "user:carol"} <= {
            record["actor"]["sub"] for record in everything if "actor" in record
        }


@pytest.mark.parametrize(
    "uri",
    [
        "audit://records?nope=1",
        "audit://records?limit=1&limit=2",
        "audit://call/../status",
        "audit://call/",
        "audit://nope",
        "guard://whoami?x=1",
        "file:///etc/passwd",
        "audit://records#x",
    ],
)
async def test_resources_that_are_not_there(uri: str, connect: Connect) -> None:
    async with connect("http", ERAS[1]) as client:
        with pytest.raises(MCPError, match="Unknown resource"):
            await client.read_resource(uri)


async def test_a_wrong_filter_is_explained_to_whoever_may_read(connect: Connect) -> None:
    async with connect("http", ERAS[1]) as client:
        with pytest.raises(MCPError, match="filter before is not a number"):
            await client.read_resource("audit://records?before=abc")
