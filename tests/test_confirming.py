"""Confirmations as rows: who is asked what, what a yes moves, and what forged rows are worth."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.confirming import MOST_QUESTIONS, Asked, Question
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from tests.flow import add_flow, things
from tests.simulators.process import Program

ASKS = "p, {0}, role:support, *, acme, call, payments_refund, r.ctx.args.amount == {1}, require_approval, {2}, look\n"
RULES = (
    ASKS.format("own", 91, "confirm=requester; expires=1h")
    + ASKS.format("both", 92, "confirm=requester; approvers=role:finance; not=requester")
    + ASKS.format("first", 93, "confirm=requester")
    + ASKS.format("second", 93, "approvers=role:finance")
    + "g, agent:helper, role:support, acme\ng, agent:helper, role:trusted-agent, acme\n"
)
ASKING = """
  - name: things_ask
    description: Make a thing, ask whoever wanted it, make another.
    inputSchema: {type: object, properties: {name: {type: string}, secret: {type: string}}, required: [name, secret]}
    sensitive: [/secret]
    workflow:
      steps:
        - {id: one, call: things_make, with: {name: "{input.name}"}}
        - {id: sure, approve: {confirm: requester, summary: "Make more than {steps.one.thing_id} for {input.secret}"}}
        - {id: two, call: things_make, with: {name: more}}
      output: {last: "{steps.two.thing_id}"}
"""


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[Guard]:
    async with open_guard(load(home, environ={}), serving=True, verbosity=-1) as guard:
        yield guard


@pytest.fixture
def home(desk: Program) -> Program:
    add_flow(desk.home)
    manifest = desk.home / "tool_manifests" / "flow.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").rstrip() + "\n" + ASKING, encoding="utf-8")
    rules = desk.home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + RULES, encoding="utf-8")
    return desk


@pytest.fixture
async def guard(home: Program) -> AsyncIterator[Guard]:
    async with _guard(home.home) as opened:
        yield opened


def _who(guard: Guard, subject: str = "user:alice", client: str = "agent:local") -> Principal:
    return replace(guard.declare(subject, client), auth="bearer", assurance="token")


async def _refund(guard: Guard, amount: int, who: Principal | None = None) -> Answer:
    call = ToolCall(guard.new_call_id(), "payments_refund", {"order_id": "ORD-1001", "amount": amount})
    return await guard.call(who or _who(guard), call)


async def _question(guard: Guard, answer: Answer, who: Principal | None = None) -> Question | None:
    assert answer.task is not None, answer.text
    return await guard.confirming.question(who or _who(guard), answer.task)


def _paid(payments: Sandbox, amount: int) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


@pytest.mark.holds("approval:confirm-only-own")
async def test_only_the_requester_in_person_through_the_same_client_is_asked(guard: Guard) -> None:
    answer = await _refund(guard, 91)
    alice = _who(guard)
    assert await _question(guard, answer) is not None
    assert await _question(guard, answer, replace(alice, auth="local", assurance="declared")) is not None
    others = {
        "somebody else": _who(guard, "user:bob"),
        "another client of theirs": _who(guard, client="agent:other"),
        "another tenant": replace(alice, tenant="globex"),
        "on behalf of them": replace(alice, chain=("agent:helper",)),
    }
    for case, who in others.items():
        assert await _question(guard, answer, who) is None, case
    delegated = replace(alice, chain=("agent:helper",))
    asked_for_them = await _refund(guard, 91, delegated)
    assert asked_for_them.task != answer.task
    assert await _question(guard, asked_for_them, delegated) is None
    assert await _question(guard, asked_for_them) is None
    question = await _question(guard, answer)
    assert question is not None
    for who in others.values():
        assert await guard.confirm(who, answer, question) == answer
    with pytest.raises(Refused):
        await guard.approvals.decide(alice, question.approval, "approved", "mcp")
    assert (await guard.approvals.find(question.approval)).state == "pending"


@pytest.mark.holds("approval:confirm-only-own")
async def test_nobody_is_asked_who_is_frozen_or_too_late(home: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 86_400.0)
    async with _guard(home.home) as guard:
        answer = await _refund(guard, 91)
        question = await _question(guard, answer)
        assert question is not None
        with closing(sqlite3.connect(home.home / "var" / "guard.db")) as database, database:
            database.execute("UPDATE approval SET expires_at = 1")
        assert await _question(guard, answer) is None
        assert await guard.confirm(_who(guard), answer, question) == answer
        with closing(sqlite3.connect(home.home / "var" / "guard.db")) as database, database:
            database.execute("UPDATE approval SET expires_at = 4000000000000000")
        assert await _question(guard, answer) is not None
    assert home.run("freeze", "--subject", "user:alice", "--reason", "a stolen laptop").status == 0
    async with _guard(home.home) as guard:
        assert await _question(guard, answer) is None
        assert await guard.confirm(_who(guard), answer, question) == answer


@pytest.mark.holds("approval:confirm")
async def test_a_workflow_asks_whoever_called_it_and_goes_on(guard: Guard, home: Program) -> None:
    call = ToolCall(guard.new_call_id(), "things_ask", {"name": "a", "secret": "hunter2"})
    answer = await guard.call(_who(guard), call)
    assert "sure: waiting for your own confirmation" in answer.text
    question = await _question(guard, answer)
    assert question is not None
    assert 'Make more than "T-a"' in question.message
    assert "hunter2" not in question.message
    done = await guard.confirm(_who(guard), answer, question)
    assert (done.structured, done.receipt) == ({"last": "T-more"}, answer.receipt), done.text
    assert done.finished == ()
    assert things(home.home) == ["made a", "made more"]


@pytest.mark.holds("approval:confirm-then-approvers")
async def test_two_rules_that_ask_differently_ask_both(guard: Guard, payments: Sandbox) -> None:
    before = _paid(payments, 93)
    answer = await _refund(guard, 93)
    told: Any = answer.structured["guard"]
    assert told["approvers"] == ["requester", "role:finance"]
    question = await _question(guard, answer)
    assert question is not None
    then = await guard.confirm(_who(guard), answer, question)
    assert "waiting for role:finance" in then.text
    assert _paid(payments, 93) == before
    (waiting,) = await guard.approvals.for_decider(_who(guard, "user:bob"))
    assert waiting.approvers == ("role:finance",)


FORGED = {
    "a vote without a seal": (
        "INSERT INTO vote (approval, subject, verdict, channel, assurance, voted_at, seal) "
        "SELECT id, requester, 'approved', 'elicitation', 'token', created_at, 'x' FROM approval",
        "UPDATE approval SET state = 'approved'",
        "UPDATE task SET wake_at = 1",
    ),
    "another requester": ("UPDATE approval SET requester = 'user:carol'",),
    "no others behind it": ("UPDATE approval SET approvers = '[\"requester\"]'",),
    "others made the requester": ("UPDATE approval SET approvers = '[\"requester\"]', not_requester = 0, quorum = 1",),
}


@pytest.mark.holds("approval:confirm-only-own", "approval:bound")
@pytest.mark.parametrize("case", FORGED)
async def test_who_can_write_the_store_can_confirm_nothing(
    case: str, guard: Guard, home: Program, payments: Sandbox
) -> None:
    before = _paid(payments, 92)
    answer = await _refund(guard, 92)
    with closing(sqlite3.connect(home.home / "var" / "guard.db")) as database, database:
        for statement in FORGED[case]:
            database.execute(statement)
    question = await _question(guard, answer)
    if question is not None:
        await guard.confirm(_who(guard), answer, question)
    guard.runner.poke()
    assert answer.task is not None
    await guard.runner.look()
    await guard.runner.settle()
    task = await guard.tasks.find(answer.task)
    assert task is not None
    assert (task.status, _paid(payments, 92)) in [("failed", before), ("input_required", before)]
    assert await guard.approvals.for_decider(_who(guard, "user:bob")) == [], "finance is asked nothing either"


def test_how_often_somebody_is_asked_is_bounded_and_a_no_ends_it() -> None:
    asked = Asked()
    for _ in range(MOST_QUESTIONS):
        assert asked.may_ask("a")
        asked.asks("a")
    assert not asked.may_ask("a")
    asked.declined(Question("appr-b", "b", "?"))
    assert not asked.may_ask("b")
    asked.open.add("c")
    assert not asked.may_ask("c")
    for number in range(20_000):
        asked.asks(str(number))
    assert len(asked._times) <= 10_000


@pytest.mark.holds("approval:confirm-only-own")
def test_killed_between_the_confirmation_and_those_behind_it(home: Program, payments: Sandbox) -> None:
    """The question to finance is there once, however often whoever passes it on dies."""
    before = _paid(payments, 92)
    tokens = {name: home.token(f"user:{name}", "--client", "agent:local") for name in ("alice", "bob")}
    asked = home.run("--json", "call", "payments_refund", "order_id=ORD-1001", "amount=92", "--token", tokens["alice"])
    told = asked.json["structuredContent"]["guard"]
    assert home.run("approvals", "approve", told["approval_id"], "--token", tokens["alice"]).status == 0
    resume = ("tasks", "resume", told["task_id"])
    killed = home.run(*resume, environ={"MCP_GUARD_FAILPOINT": "approvals.passed-on"})
    assert killed.status < 0, killed.err
    for _ in range(2):
        assert home.run(*resume).status == 0
    (waiting,) = home.run("--json", "approvals", "list").json
    assert waiting["approvers"] == ["role:finance"]
    assert _paid(payments, 92) == before
    refused = home.run("approvals", "approve", waiting["id"], "--token", tokens["alice"])
    assert refused.status == 5, "whoever asked confirmed, and decides nothing else"
    assert home.run("approvals", "approve", waiting["id"], "--token", tokens["bob"]).status == 0
    for _ in range(2):
        home.run(*resume)
    assert home.run("--json", "tasks", "show", told["task_id"]).json["status"] == "completed"
    assert _paid(payments, 92) == before + 1
    verified = home.run("audit", "verify", "--deep")
    assert verified.status == 0, verified.out + verified.err
