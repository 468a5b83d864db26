"""Approvals with plain tools: a client that knows neither tasks nor elicitation gets everything done."""

import asyncio
import json
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from mcp_guard.demo.sandbox import Sandbox
from tests.server.conftest import ERAS, Connect


def _guard(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = result.structured_content["guard"]
    return found


@pytest.mark.holds("approval:plain-tools")
@pytest.mark.parametrize("era", ERAS)
async def test_a_refund_is_approved_in_the_approvers_own_client(era: str, connect: Connect, payments: Sandbox) -> None:
    amount = 910 + ERAS.index(era)
    before = len(payments.ledger.entries())
    async with connect("http", era) as alice, connect("http", era, "bob") as bob:
        pending = await alice.call_tool("payments_refund", {"order_id": "ORD-1001", "amount": amount})
        assert not pending.is_error
        assert pending.content[0].text.startswith("NOT EXECUTED: waiting for")  # type: ignore[union-attr]
        guard = _guard(pending)
        assert guard["next"]["tool"] == "task_status"
        waiting = await alice.call_tool("task_status", {"task_id": guard["task_id"]})
        assert isinstance(waiting.structured_content, dict)
        assert waiting.structured_content["task"]["status"] == "input_required"

        listed: Any = (await bob.call_tool("approval_list", {})).structured_content
        (mine,) = [row for row in listed["approvals"] if row["id"] == guard["approval_id"]]
        assert f"amount: {amount}" in mine["summary"]
        decided: Any = (
            await bob.call_tool("approval_decide", {"approval_id": mine["id"], "decision": "approve"})
        ).structured_content
        assert decided["approval"]["state"] in ("approved", "used")
        async with asyncio.timeout(60):
            while True:  # every move of it is an answer
                done = await alice.call_tool(guard["next"]["tool"], guard["next"]["arguments"])
                assert isinstance(done.structured_content, dict)
                task = done.structured_content["task"]
                if task["status"] not in ("input_required", "working"):
                    break
        assert (task["status"], task["result"]["amount"]) == ("completed", amount)
        assert (done.meta or {})["mcp-guard/receipt"]["call"]
    assert len(payments.ledger.entries()) == before + 1


@pytest.mark.holds("approval:hidden-tools")
@pytest.mark.parametrize("era", ERAS)
async def test_only_who_may_decide_something_sees_the_deciding_tools(era: str, connect: Connect) -> None:
    async with connect("http", era) as alice, connect("http", era, "bob") as bob:
        seen = {tool.name for tool in (await alice.list_tools()).tools}
        assert {"task_status", "task_cancel"} <= seen
        assert not {"approval_list", "approval_decide"} & seen
        assert {"approval_list", "approval_decide"} <= {tool.name for tool in (await bob.list_tools()).tools}
        answers = []
        for name in ("approval_list", "no_such_tool"):
            with pytest.raises(MCPError) as refused:
                await alice.call_tool(name, {})
            answers.append((refused.value.error.code, refused.value.error.message))
        assert answers[0] == answers[1]


@pytest.mark.holds("approval:plain-tools", "args:strict")
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("task_status", {}),
        ("task_status", {"task_id": "x"}),
        ("task_status", {"task_id": "0" * 32, "wait_s": "1"}),
        ("task_status", {"task_id": "0" * 32, "wait_s": 26}),
        ("task_status", {"task_id": "0" * 32, "more": 1}),
        ("task_cancel", {"task_id": ["0" * 32]}),
        ("task_status", {"task_id": "0" * 32}),
    ],
)
async def test_wrong_arguments_are_refused_and_not_quoted(
    tool: str, arguments: dict[str, Any], connect: Connect
) -> None:
    async with connect("http", ERAS[1]) as alice:
        refused = await alice.call_tool(tool, arguments)
        assert refused.is_error
        assert _guard(refused)["code"] == "args_invalid"
        assert "0000" not in json.dumps(refused.structured_content)
        good = await alice.call_tool("orders_get", {"order_id": "ORD-1001"})
        assert not good.is_error
