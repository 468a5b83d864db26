"""`mcp-guard approvals approve --for`, `grants`, `revoke`: on the command line, in words and as JSON."""

import json
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from mcp_guard.demo.sandbox import Sandbox
from tests.simulators.process import Done, Program


def _call(desk: Program, token: str, amount: float) -> Done:
    return desk.run("--json", "call", "payments_refund", "order_id=ORD-1001", f"amount={amount}", "--token", token)


def _ask(desk: Program, token: str, amount: float) -> dict[str, Any]:
    done = _call(desk, token, amount)
    assert done.status == 6, done.err
    found: Any = done.json["structuredContent"]["guard"]
    return dict(found)


@pytest.mark.holds("grant:cli", "grant:shown")
def test_a_grant_is_told_before_it_is_made_then_listed_used_and_revoked(desk: Program, payments: Sandbox) -> None:
    alice, bob = desk.token("user:alice", "--client", "agent:local"), desk.token("user:bob")
    pending = _ask(desk, alice, 880)
    options = ("--for", "1h", "--uses", "10", "--same-shape")
    approved = desk.run("--json", "approvals", "approve", pending["approval_id"], *options, "--token", bob)
    assert approved.status == 0, approved.err
    assert approved.json["state"] == "approved"
    sentence = approved.json["grant"]["admits"]
    assert f"granting {sentence}" in approved.err
    assert 'amount from 0 to 880; order_id exactly "ORD-1001"' in sentence
    (row,) = desk.run("--json", "approvals", "grants").json
    assert (row["by"], row["requester"], row["left"], row["state"]) == ("user:bob", "user:alice", 10, "granted")
    before = len(payments.ledger.entries())
    assert _call(desk, alice, 870).status == 0
    assert len(payments.ledger.entries()) == before + 1
    assert desk.run("--json", "approvals", "grants").json[0]["left"] == 9
    assert row["id"][:12] in desk.run("approvals", "grants").out
    assert desk.run("approvals", "revoke", row["id"][:12], "--token", alice).status == 5
    assert desk.run("approvals", "revoke", "0" * 32, "--token", bob).status == 2
    assert desk.run("approvals", "revoke", row["id"][:12], "--token", bob).status == 0
    assert desk.run("--json", "approvals", "grants").json == []
    assert desk.run("--json", "approvals", "grants", "--all").json[0]["state"] == "revoked"
    _ask(desk, alice, 869)
    assert desk.run("audit", "verify", "--deep").status == 0


@pytest.mark.holds("grant:cli", "grant:limits")
def test_half_a_grant_is_none_and_decides_nothing(desk: Program) -> None:
    alice, bob = desk.token("user:alice", "--client", "agent:local"), desk.token("user:bob")
    pending = _ask(desk, alice, 881)
    for options in (
        ("--for", "1h"),
        ("--uses", "10"),
        ("--same-shape",),
        ("--for", "1h", "--uses", "10", "--vary", "amount"),
        ("--for", "1h", "--uses", "1000"),
        ("--for", "25h", "--uses", "10"),
        ("--for", "soon", "--uses", "10"),
    ):
        refused = desk.run("approvals", "approve", pending["approval_id"], *options, "--token", bob)
        assert refused.status == 2, (options, refused.err)
    assert desk.run("--json", "approvals", "list").json[0]["state"] == "pending"
    assert desk.run("--json", "approvals", "grants", "--all").json == []


@pytest.mark.holds("approval:hasty")
def test_a_decision_nobody_can_have_thought_about_is_marked(desk: Program) -> None:
    bob = desk.token("user:bob")
    pending = [_ask(desk, desk.token("user:alice", "--client", "agent:local"), amount) for amount in (882, 883)]
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        for one, ago_us in zip(pending, (-60_000_000, 2_000_000), strict=True):
            asked_at = time.time_ns() // 1000 - ago_us
            database.execute("UPDATE approval SET created_at = ? WHERE id = ?", (asked_at, one["approval_id"]))
        database.commit()
    for one in pending:
        assert desk.run("approvals", "deny", one["approval_id"], "--token", bob).status == 0
    rows = {row["id"]: row for row in desk.run("--json", "approvals", "list", "--all").json}
    hasty, thought = [rows[one["approval_id"]] for one in pending]
    assert [said["hasty"] for said in hasty["decisions"]] == [True]
    assert [said["hasty"] for said in thought["decisions"]] == [False]
    assert "hasty" in desk.run("approvals", "show", hasty["id"]).out
    assert "hasty" not in desk.run("approvals", "show", thought["id"]).out
    assert desk.run("approvals", "list", "--all").out.count("hasty") == 1
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    denied = [line for line in lines if line["kind"] == "approval" and line["verdict"] == "denied"]
    assert [line.get("hasty") for line in denied] == [1, None]
    assert denied[0]["ms"] < 2000 <= denied[1]["ms"]
