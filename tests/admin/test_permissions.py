"""`guard://permissions`: true, complete for what can be listed, silent about the rest, and on record."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from mcp_guard.admin.permissions import DEPENDS
from mcp_guard.audit.query import Filters
from mcp_guard.build import Guard, open_freezing, open_guard, open_query
from mcp_guard.config.load import load
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from tests.simulators.process import Program


@pytest.fixture
async def guard(desk: Program) -> AsyncIterator[Guard]:
    async with open_guard(load(desk.home), serving=False, verbosity=-1) as opened:
        yield opened


async def told(guard: Guard, who: Principal) -> dict[str, dict[str, Any]]:
    read: Any = await guard.read_permissions(who)
    assert read["policy"] == guard.definition.policy.version
    return {row.pop("tool"): row for row in json.loads(json.dumps(read["tools"]))}


@pytest.mark.holds("permissions:true")
async def test_what_hangs_on_arguments_names_its_rules_strictest_first(guard: Guard) -> None:
    rows = await told(guard, guard.declare("user:alice", "agent:local"))
    assert rows["orders_get"] == {
        "effect": "allow",
        "rule": "support-reads-orders",
        "reason": "support may look up any order",
    }
    refund = rows["payments_refund"]
    assert refund["effect"] == DEPENDS
    assert [(rule["effect"], rule["rule"]) for rule in refund["rules"]] == [
        ("deny", "refund-limit"),
        ("require_approval", "refund-large"),
        ("allow", "refund-small"),
    ]
    assert refund["rules"][0]["reason"] == "nobody refunds more than 5000 through an agent"
    assert refund["otherwise"]["rule"] == "guard:default"
    assert "missing_scopes" not in refund


@pytest.mark.holds("permissions:hidden-stays-hidden")
@pytest.mark.parametrize(
    ("subject", "client"),
    [
        ("user:alice", "agent:local"),
        ("user:alice", "agent:untrusted"),
        ("user:bob", "agent:local"),
        ("user:x", "agent:x"),
    ],
)
async def test_only_what_can_be_listed_is_spoken_of(subject: str, client: str, guard: Guard) -> None:
    who = guard.declare(subject, client)
    visible = {tool.name for tool in guard.visible_tools(who)}
    text = json.dumps(await guard.read_permissions(who))
    assert set(await told(guard, who)) == visible
    for hidden in set(guard.definition.catalog) - visible:
        assert hidden not in text
    if "payments_refund" not in visible:
        assert "refund" not in text, "nor are the rules about it"


@pytest.mark.holds("permissions:true")
async def test_missing_scopes_are_named_and_decide(guard: Guard) -> None:
    rows = await told(guard, replace(guard.declare("user:alice", None), scopes=frozenset({"orders:read"})))
    refund = rows["payments_refund"]
    assert (refund["effect"], refund["rule"], refund["missing_scopes"]) == ("deny", "guard:scope", ["payments:refund"])
    assert rows["orders_get"]["effect"] == "allow"


@pytest.mark.holds("permissions:true", "freeze:stops")
async def test_a_freeze_shows(guard: Guard) -> None:
    alice = guard.declare("user:alice", None)
    async with open_freezing(guard.definition.home) as admin:
        await admin.freeze("tool:payments_refund", "wrong amounts")
        rows = await told(guard, alice)
        assert rows["payments_refund"] == {"effect": "deny", "rule": "guard:frozen", "reason": "wrong amounts"}
        assert rows["orders_get"]["effect"] == "allow"
        await admin.freeze("tenant:acme", "incident")
        assert {row["rule"] for row in (await told(guard, alice)).values()} == {"guard:frozen"}


CALLS: list[tuple[str, dict[str, object]]] = [
    ("orders_get", {"order_id": "ORD-1001"}),
    ("payments_refund", {"order_id": "ORD-1002", "amount": 3}),
    ("payments_refund", {"order_id": "ORD-1002", "amount": 800}),
    ("payments_refund", {"order_id": "ORD-1002", "amount": 9000}),
    ("mail_send", {"to": ["x@elsewhere.example"], "subject": "s", "body": "b", "justification": "a test"}),
]


@pytest.mark.holds("permissions:true")
@pytest.mark.parametrize(("tool", "arguments"), CALLS, ids=[f"{tool} {n}" for n, (tool, _) in enumerate(CALLS)])
async def test_calls_are_decided_as_was_told(tool: str, arguments: dict[str, object], guard: Guard) -> None:
    alice = guard.declare("user:alice", "agent:local")
    row = (await told(guard, alice))[tool]
    answer = await guard.call(alice, ToolCall(guard.new_call_id(), tool, arguments, dry_run="yes"))
    decided: Any = answer.structured["guard"]
    if row["effect"] == DEPENDS:
        assert decided["rule"] in {rule["rule"] for rule in row["rules"]} | {row["otherwise"]["rule"]}
    else:
        assert (decided["effect"], decided["rule"]) == (row["effect"], row["rule"])


@pytest.mark.holds("audit:reads-recorded")
async def test_a_reading_is_on_record_refused_or_not(guard: Guard, desk: Program) -> None:
    alice = guard.declare("user:alice", None)
    await guard.read_permissions(alice)
    rules = desk.home / "policy" / "policy.csv"
    kept = [
        line for line in rules.read_text(encoding="utf-8").splitlines() if not line.startswith("p, permissions-seen")
    ]
    rules.write_text("\n".join(kept) + "\n", encoding="utf-8")
    async with open_guard(load(desk.home), serving=False, verbosity=-1) as stricter:
        assert not stricter.may_see_permissions(alice)
        with pytest.raises(Refused):
            await stricter.read_permissions(alice)
    async with open_query(load(desk.home)) as query:
        states: list[Any] = [record["state"] for record in (await query.page(Filters(kind="read"))).records]
    count = len(guard.visible_tools(alice))
    assert states == [
        {"what": "permissions", "effect": "deny", "rule": "guard:default", "count": 0},
        {"what": "permissions", "effect": "allow", "rule": "permissions-read", "count": count},
    ]
