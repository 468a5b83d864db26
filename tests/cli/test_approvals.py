"""`mcp-guard approvals …` and `tasks …`: people and operators, on the command line."""

import json
import time
from typing import Any

import pytest

from mcp_guard.demo.sandbox import Sandbox
from tests.simulators.process import Done, Program


def _ask(desk: Program, amount: float, **more: str) -> dict[str, Any]:
    pairs = [f"{name}={value}" for name, value in more.items()]
    done = desk.run("--json", "call", "payments_refund", "order_id=ORD-1001", f"amount={amount}", *pairs)
    assert done.status == 6, done.err
    found: Any = done.json["structuredContent"]["guard"]
    return dict(found)


def _decide(desk: Program, verdict: str, approval: str, token: str | None = None) -> Done:
    return desk.run("--json", "approvals", verdict, approval, *(["--token", token] if token else []))


@pytest.mark.holds("approval:cli")
def test_a_call_is_listed_shown_approved_and_carried_out(desk: Program, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    pending = _ask(desk, 700, reason="the canary sang")
    (row,) = desk.run("--json", "approvals", "list").json
    assert set(row) >= {"id", "tool", "requester", "arguments", "approvers", "expires_at", "state", "task_id"}
    assert (row["id"], row["state"], row["requester"]) == (pending["approval_id"], "pending", "user:alice")
    assert row["arguments"]["amount"] == 700
    assert "canary" not in json.dumps(row)
    shown = desk.run("approvals", "show", row["id"][:12])
    assert "amount: 700" in shown.out
    assert "canary" not in shown.out
    bob = desk.token("user:bob")
    assert "canary" in desk.run("approvals", "show", row["id"], "--values", "--token", bob).out
    approved = desk.run("approvals", "approve", row["id"][:12], "--token", bob)
    assert approved.status == 0
    assert f"mcp-guard tasks resume {row['task_id']}" in approved.err, "nobody serves, so it says how it goes on"
    assert len(payments.ledger.entries()) == before
    resumed = desk.run("--json", "tasks", "resume", row["task_id"])
    assert resumed.json["status"] == "completed", resumed.err
    assert resumed.json["result"]["amount"] == 700
    assert len(payments.ledger.entries()) == before + 1
    assert desk.run("--json", "tasks", "resume", row["task_id"]).json["status"] == "completed"
    assert len(payments.ledger.entries()) == before + 1, "what is done is done"
    steps = desk.run("--json", "tasks", "show", row["task_id"]).json["steps"]
    assert [(step["id"], step["state"], step["attempt"]) for step in steps] == [("call", "done", 1)]


@pytest.mark.holds("approval:cli", "approval:who")
def test_who_may_not_is_told_so_and_nothing_happens(desk: Program) -> None:
    pending = _ask(desk, 710)
    alice, carol = desk.token("user:alice", "--client", "agent:other"), desk.token("user:carol")
    for token in (alice, carol, "mcpg_nonsense", None):
        refused = _decide(desk, "approve", pending["approval_id"], token)
        assert refused.status == 5, refused.out
    values = desk.run("approvals", "show", pending["approval_id"], "--values", "--token", alice)
    assert values.status == 5
    assert _decide(desk, "approve", "0" * 32, desk.token("user:bob")).status == 2
    assert desk.run("--json", "approvals", "list").json[0]["state"] == "pending"


@pytest.mark.holds("approval:cli", "approval:denied")
def test_denied_is_denied(desk: Program) -> None:
    pending = _ask(desk, 720)
    bob = desk.token("user:bob")
    assert _decide(desk, "deny", pending["approval_id"], bob).json["state"] == "denied"
    assert _decide(desk, "approve", pending["approval_id"], bob).status == 2
    task = desk.run("--json", "tasks", "show", pending["task_id"]).json
    assert (task["status"], task["result"]["guard"]["code"]) == ("failed", "approval_denied")
    assert desk.run("--json", "approvals", "list").json == []
    assert [row["state"] for row in desk.run("--json", "approvals", "list", "--all").json] == ["denied"]


@pytest.mark.holds("approval:cli", "approval:escalates")
def test_who_is_asked_by_now_is_listed_and_shown(desk: Program) -> None:
    rules = desk.home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("expires=4h, refunds", "expires=4h; escalate=role:manager/1s, refunds"), "utf-8")
    pending = _ask(desk, 725)
    end = time.monotonic() + 60
    while (row := desk.run("--json", "approvals", "list").json[0])["approvers"] == ["role:finance"]:
        assert row["escalation"] | {"at": ""} == {"to": ["role:manager"], "at": "", "escalated": False}
        assert time.monotonic() < end
        desk.run("tasks", "resume", pending["task_id"])
    assert (row["approvers"], row["escalation"]["escalated"]) == (["role:finance", "role:manager"], True)
    shown = desk.run("approvals", "show", pending["approval_id"]).out
    assert "for role:finance or role:manager" in shown
    assert "escalated to role:manager" in shown
    assert "waiting for role:finance or role:manager" in desk.run("tasks", "show", pending["task_id"]).out


@pytest.mark.holds("approval:demo-only")
def test_a_declared_identity_decides_in_a_demo_that_says_so_and_nowhere_else(desk: Program) -> None:
    pending = _ask(desk, 730)
    assert desk.run("approvals", "approve", pending["approval_id"], "--as", "user:bob").status == 5
    trusting = {"MCP_GUARD_IDENTITY__LOCAL__APPROVE": "true"}
    elsewhere = {**trusting, "MCP_GUARD_ENVIRONMENT": "production"}
    assert desk.run("approvals", "approve", pending["approval_id"], "--as", "user:bob", environ=elsewhere).status == 3
    done = desk.run("approvals", "approve", pending["approval_id"], "--as", "user:bob", environ=trusting)
    assert done.status == 0, done.err


@pytest.mark.holds("tasks:cli")
def test_tasks_are_listed_and_cancelled(desk: Program) -> None:
    pending = _ask(desk, 740)
    (row,) = desk.run("--json", "tasks", "list", "--status", "input_required").json
    assert (row["id"], row["tool"], row["subject"]) == (pending["task_id"], "payments_refund", "user:alice")
    assert desk.run("--json", "tasks", "cancel", row["id"]).json["status"] == "cancelled"
    assert _decide(desk, "approve", pending["approval_id"], desk.token("user:bob")).status == 2
    for command in ("show", "cancel", "resume"):
        assert desk.run("tasks", command, "0" * 32).status == 2
    assert desk.run("tasks", "resume", row["id"], "--as-done").status == 2, "nothing is in doubt"
