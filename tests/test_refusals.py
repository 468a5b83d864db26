"""How much a refusal tells is the policy owner's choice: every way to ask obeys it, and the record has everything."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard, open_freezing, open_guard
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import Refused, UnknownTool
from mcp_guard.model.principal import Principal
from tests.cli.conftest import change
from tests.simulators.process import Program

LEVELS = ("why", "rule", "code")
DENIED: dict[str, object] = {"order_id": "ORD-1002", "amount": 9000}
LARGE: dict[str, object] = {"order_id": "ORD-1002", "amount": 800}
SMALL: dict[str, object] = {"order_id": "ORD-1002", "amount": 3}
WHY = (
    "nobody refunds more",
    "second person from finance",
    "no second person",
    "role:finance",
    "laptop stolen",
    "hold the scope",
)
RULES = ("refund-limit", "refund-large", "refund-small", "guard:scope", "guard:frozen", "permissions-read")


@asynccontextmanager
async def _guard(home: Path, level: str) -> AsyncIterator[tuple[Guard, Principal]]:
    change(home / "mcp-guard.yaml", "policy:\n", f"policy:\n  refusals: {level}\n")
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        yield guard, guard.declare("user:alice", "agent:local")


async def _call(guard: Guard, who: Principal, tool: str, arguments: dict[str, object], *, dry: bool = False) -> Answer:
    wanted = ToolCall(guard.new_call_id(), tool, arguments, dry_run="yes" if dry else "no")
    return await guard.call(who, wanted)


def _shows(text: str, level: str) -> None:
    """What is told at a level, and nothing more."""
    if level != "why":
        assert [why for why in WHY if why in text] == []
    if level == "code":
        assert [rule for rule in RULES if rule in text] == []


@pytest.mark.holds("refusals:as-chosen")
@pytest.mark.parametrize("level", LEVELS)
async def test_calls_and_dry_runs(level: str, desk: Program) -> None:
    async with _guard(desk.home, level) as (guard, alice):
        denied = await _call(guard, alice, "payments_refund", DENIED)
        parked = await _call(guard, alice, "payments_refund", LARGE)
        lacking = await _call(guard, replace(alice, scopes=frozenset()), "payments_refund", SMALL)
        dry = [await _call(guard, alice, "payments_refund", given, dry=True) for given in (DENIED, LARGE, SMALL)]
        async with open_freezing(guard.definition.home) as admin:
            await admin.freeze("user:alice", "laptop stolen")
        frozen = await _call(guard, alice, "payments_refund", SMALL)
        own = [await _call(guard, alice, "task_status", {"task_id": "0" * 32}, dry=wish) for wish in (False, True)]
    answers = (denied, parked, lacking, frozen, *dry, *own)
    for answer in answers:
        _shows(answer.text + json.dumps(answer.structured), level)
    views: list[Any] = [answer.structured["guard"] for answer in answers]
    codes = [view["code"] for view in views]
    assert codes[:4] == ["policy_denied", "approval_pending", "policy_denied", "frozen"]
    assert codes[4:] == ["dry_run", "dry_run", "dry_run", "frozen", "frozen"]
    assert [view["effect"] for view in views][:3] == ["deny", "require_approval", "deny"]
    assert [view["effect"] for view in views][4:7] == ["deny", "require_approval", "allow"]
    assert ("rule" in views[0], "then" in views[5]) == (level != "code", level == "why")
    assert (
        denied.text
        == {
            "why": "denied: nobody refunds more than 5000 through an agent (rule refund-limit)",
            "rule": "denied: this is not allowed (rule refund-limit)",
            "code": "denied: this is not allowed",
        }[level]
    )
    assert (lacking.lacks_scope, denied.lacks_scope) == (True, False), "an OAuth client can still ask for the scope"


@pytest.mark.holds("refusals:record-has-all")
@pytest.mark.parametrize("level", LEVELS)
async def test_the_record_has_everything(level: str, desk: Program) -> None:
    async with _guard(desk.home, level) as (guard, alice):
        parked = await _call(guard, alice, "payments_refund", LARGE)
        carol: Any = (await guard.read_call(guard.declare("user:carol", "agent:local"), parked.call))["records"]
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log")]
    [decision] = [line["decision"] for line in lines if line.get("call") == parked.call and "decision" in line]
    assert (decision["rule"], decision["reason"], decision["then"]["approvers"]) == (
        "refund-large",
        "refunds above 100 need a second person from finance",
        ["role:finance"],
    )
    assert [record["decision"] for record in carol if "decision" in record] == [decision], (
        "whoever reads every record is told everything"
    )


@pytest.mark.holds("refusals:as-chosen")
@pytest.mark.parametrize("level", LEVELS)
async def test_what_may_be_read_tells_no_more(level: str, desk: Program) -> None:
    async with _guard(desk.home, level) as (guard, alice):
        for given in (DENIED, LARGE, SMALL):
            await _call(guard, alice, "payments_refund", given, dry=True)
        denied = await _call(guard, alice, "payments_refund", DENIED)
        permissions = await guard.read_permissions(alice)
        narrow = await guard.read_permissions(replace(alice, scopes=frozenset()))
        page = await guard.read_records(alice, {"limit": "100"})
        one = await guard.read_call(alice, denied.call)
    for read in (permissions, narrow, page, one):
        _shows(json.dumps(read), level)
    rows: Any = permissions["tools"]
    refund = next(row for row in rows if row["tool"] == "payments_refund")
    assert [rule["effect"] for rule in refund["rules"]] == ["deny", "require_approval", "allow"]
    assert all(("rule" in rule) is (level != "code") for rule in refund["rules"])


@pytest.mark.holds("refusals:as-chosen")
@pytest.mark.parametrize(("level", "by_rule", "by_text"), [("why", 1, 1), ("rule", 1, 0), ("code", 0, 0)])
async def test_nothing_is_found_by_what_is_not_told(level: str, by_rule: int, by_text: int, desk: Program) -> None:
    """A search by guesses would spell the rules out."""
    async with _guard(desk.home, level) as (guard, alice):
        await _call(guard, alice, "payments_refund", DENIED)
        found: list[Any] = [
            await guard.read_records(alice, filters)
            for filters in ({"rule": "refund-limit"}, {"text": "refunds nobody"}, {"text": "payments"})
        ]
        everything: Any = await guard.read_records(
            guard.declare("user:carol", "agent:local"), {"rule": "refund-limit", "text": "nobody"}
        )
    assert [len(page["records"]) for page in found] == [by_rule, by_text, 1]
    assert len(everything["records"]) == 1


@pytest.mark.holds("refusals:as-chosen", "policy:hidden-is-unknown")
@pytest.mark.parametrize("level", LEVELS)
async def test_hidden_stays_unknown_at_every_level(level: str, desk: Program) -> None:
    async with _guard(desk.home, level) as (guard, alice):
        for name in ("customers_delete", "no_such_tool"):
            with pytest.raises(UnknownTool, match=r"^There is no such tool\.$"):
                await _call(guard, alice, name, {})
        page: Any = await guard.read_records(alice, {"status": "refused"})
    told = [{name: record["decision"][name] for name in ("effect", "rule", "reason")} for record in page["records"]]
    assert told == [{"effect": "deny", "rule": "guard:default", "reason": "there is no such tool"}] * 2


@pytest.mark.holds("refusals:as-chosen")
async def test_who_is_frozen_reads_why_only_where_that_is_told(desk: Program) -> None:
    async with _guard(desk.home, "code") as (guard, alice):
        async with open_freezing(guard.definition.home) as admin:
            await admin.freeze("user:alice", "laptop stolen")
        with pytest.raises(Refused) as caught:
            await guard.read_records(alice, {})
    assert (caught.value.code, caught.value.reason, caught.value.rule) == ("frozen", "this is not allowed", None)


async def test_what_is_not_policys_to_say_is_said_as_before(desk: Program) -> None:
    async with _guard(desk.home, "code") as (guard, alice):
        answer = await _call(guard, alice, "payments_refund", {"order_id": "ORD-1002"})
    assert "/amount: is required" in answer.text


@pytest.mark.holds("refusals:as-chosen")
@pytest.mark.parametrize("level", LEVELS)
async def test_a_task_tells_no_more_than_the_answer_it_came_from(level: str, desk: Program) -> None:
    async with _guard(desk.home, level) as (guard, alice):
        parked = await _call(guard, alice, "payments_refund", LARGE)
        view: Any = parked.structured["guard"]
        task = await guard.tasks.status(alice, view["task_id"])
    told = "role:finance" in parked.text
    assert told is (level == "why")
    assert ("role:finance" in json.dumps(task)) is told
