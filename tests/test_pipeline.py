"""One governed call, stage by stage, on a real store and a real payments service."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard, open_freezing, open_guard, open_query
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import UnknownTool
from mcp_guard.model.principal import Principal
from tests.simulators.process import Program

FUNCTIONS = """\
import asyncio

async def wait(seconds: float) -> dict[str, bool]:
    await asyncio.sleep(seconds)
    return {"waited": True}

def wrong() -> dict[str, str]:
    return {"count": "many"}

def crash() -> None:
    raise RuntimeError("hunter2 is the password")

def hidden() -> str:
    return "safe\\u202etext\\u200b"

def everything(value: object = None) -> object:
    return value
"""


def _tool(name: str, schema: str = "{type: object, properties: {}}", **more: str) -> str:
    lines = [f"  - name: {name}", "    description: For a test.", f"    inputSchema: {schema}"]
    lines += [f"    {key}: {value}" for key, value in more.items()]
    return "\n".join(lines) + "\n"


@pytest.fixture
def home(desk: Program) -> Path:
    """The example home with a few tools that misbehave in known ways."""
    (desk.home / "testing_tools.py").write_text(FUNCTIONS, encoding="utf-8")
    tools = (
        _tool(
            "wait",
            "{type: object, properties: {seconds: {type: number}}, required: [seconds]}",
            timeout="5s",
            python='{function: "testing_tools:wait"}',
        )
        + _tool(
            "impatient",
            "{type: object, properties: {seconds: {type: number}}, required: [seconds]}",
            timeout="50ms",
            python='{function: "testing_tools:wait"}',
        )
        + _tool(
            "wrong",
            outputSchema="{type: object, properties: {count: {type: integer}}}",
            effects="none",
            python='{function: "testing_tools:wrong"}',
        )
        + _tool("crash", python='{function: "testing_tools:crash"}')
        + _tool("hidden", effects="none", python='{function: "testing_tools:hidden"}')
        + _tool(
            "secretive",
            "{type: object, properties: {value: {type: object}}, required: [value]}",
            sensitive="[/value]",
            effects="none",
            python='{function: "testing_tools:everything"}',
        )
    )
    head = "apiVersion: mcp-guard/v1\nkind: Tools\ntoolset: orders\ntools:\n"
    (desk.home / "tool_manifests" / "testing.yaml").write_text(head + tools, encoding="utf-8")
    return desk.home


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[tuple[Guard, Principal]]:
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        yield guard, guard.declare(None, None)


async def _call(guard: Guard, principal: Principal, tool: str, **arguments: object) -> Answer:
    return await guard.call(principal, ToolCall(guard.new_call_id(), tool, arguments))


def _refusal(answer: Answer) -> dict[str, Any]:
    guard: Any = answer.structured["guard"]
    assert answer.is_error
    return dict(guard)


def _records(home: Path, call: str | None = None) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [line for line in lines if call in (None, line.get("call"))]


async def _values(home: Path, call: str) -> dict[str, Any]:
    """What is kept beside the first record of a call."""
    async with open_query(load(home)) as query:
        first, *_ = await query.call(call)
    values: Any = first["values"]
    return dict(values)


@pytest.mark.holds("pipeline:reads-one-record", "pipeline:acts-two-records")
async def test_a_read_is_one_record_and_an_act_is_two(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        looked = await _call(guard, alice, "orders_get", order_id="ORD-1001")
        acted = await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=3, justification="it broke")
    [single] = _records(home, looked.call)
    assert (single["kind"], single["status"], single["executed"]) == ("outcome", "ok", "yes")
    intent, outcome = _records(home, acted.call)
    assert (intent["kind"], outcome["kind"], outcome["of"]) == ("intent", "outcome", intent["_n"])
    assert intent["actor"] == {
        "sub": "user:alice",
        "via": "agent:local",
        "tenant": "acme",
        "auth": "local",
        "assurance": "declared",
    }
    assert intent["decision"]["rule"] == "refund-small"
    assert len(intent["decision"]["policy"]) == 64
    assert (await _values(home, acted.call))["why"] == "it broke"
    assert acted.receipt is not None
    assert acted.receipt.n == outcome["_n"]


@pytest.mark.holds("pipeline:sensitive-never-in-clear")
async def test_sensitive_values_are_committed_to_and_never_stored(home: Path) -> None:
    canary = "the-customer-said-this"
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=3, reason=canary)
        await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount="3", reason=canary)
        await _call(guard, alice, "secretive", value={"deep": [canary]})
    for path in (home / "var").glob("guard.db*"):
        assert canary.encode() not in path.read_bytes(), path.name
    intent = next(record for record in _records(home) if record["kind"] == "intent")
    stored = (await _values(home, intent["call"]))["args"]
    assert stored["reason"]["sensitive"]["len"] == len(json.dumps(canary))
    assert stored["amount"] == 3


@pytest.mark.holds("audit:inputs-kept")
async def test_the_inputs_of_every_decision_are_kept(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        acted = await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=3)
        dry = ToolCall(guard.new_call_id(), "payments_refund", {"order_id": "ORD-1002", "amount": 3}, dry_run="yes")
        invalid = await _call(guard, alice, "payments_refund", amount="3")
        hidden, unknown = (ToolCall(guard.new_call_id(), name) for name in ("customers_delete", "no_such_tool"))
        await guard.call(alice, dry)
        for call in (hidden, unknown):
            with pytest.raises(UnknownTool):
                await guard.call(alice, call)
    wanted = {
        "act": "call",
        "env": {"name": "demo"},
        "seen": [],
        "scopes": ["customers:onboard", "mail:send", "orders:read", "payments:refund"],
        "attributes": {"department": "support"},
    }
    for made, act in ((acted.call, "call"), (dry.id, "call"), (hidden.id, "list"), (unknown.id, "list")):
        inputs = (await _values(home, made))["ctx"]
        at = _records(home, made)[0]["_t"] // 1_000_000
        assert abs(inputs.pop("now") - at) <= 60
        spent = {"spent": {"usd_today": inputs["spent"]["usd_today"]}} if act == "call" else {}
        assert inputs == wanted | {"act": act} | spent, "hidden and unknown look alike here too"
    assert "ctx" not in await _values(home, invalid.call), "nothing was decided"


@pytest.mark.holds("secrets:nowhere-in-clear")
async def test_the_connectors_secret_is_nowhere_but_in_the_request(
    home: Path, payments_secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with _guard(home) as (guard, alice):
        answer = await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=3, reason=payments_secret)
    assert payments_secret not in answer.text
    for path in (home / "var").glob("guard.db*"):
        assert payments_secret.encode() not in path.read_bytes(), path.name
    assert payments_secret not in caplog.text


@pytest.mark.holds("policy:hidden-is-unknown")
async def test_what_cannot_be_listed_cannot_be_called(home: Path) -> None:
    async with _guard(home) as (guard, _):
        every = [*guard.definition.catalog, "no_such_tool", "", "x" * 300, "naïve", "\u202e"]
        for client in ("agent:local", "agent:untrusted", "agent:nobody"):
            principal = guard.declare("user:alice", client)
            seen = {tool.name for tool in guard.visible_tools(principal)}
            for name in every:
                call = ToolCall(guard.new_call_id(), name, {"definitely": "wrong"})
                if name in seen:
                    assert (await guard.call(principal, call)).is_error
                else:
                    with pytest.raises(UnknownTool, match=r"^There is no such tool\.$"):
                        await guard.call(principal, call)
                assert len(_records(home, call.id)) == 1, "refused or hidden, exactly one record"


@pytest.mark.holds("pipeline:scopes")
async def test_a_missing_scope_is_told_and_recorded(home: Path) -> None:
    async with _guard(home) as (guard, _):
        narrow = Principal("user:alice", "agent:local", "acme", "bearer", "token", scopes=frozenset({"orders:read"}))
        refusal = _refusal(await _call(guard, narrow, "payments_refund", order_id="ORD-1002", amount=3))
    assert (refusal["code"], refusal["rule"], refusal["effect"]) == ("policy_denied", "guard:scope", "deny")
    assert "payments:refund" in refusal["reason"]


async def test_a_bound_argument_is_not_the_agents_to_give(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        arguments = {"order_id": "ORD-1002", "amount": 3, "requested_by": "user:bob"}
        refusal = _refusal(await _call(guard, alice, "payments_refund", **arguments))
    assert refusal["code"] == "args_invalid"
    assert "user:bob" not in refusal["reason"]


async def test_a_result_that_breaks_its_schema_is_withheld(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        answer = await _call(guard, alice, "wrong")
    assert (_refusal(answer)["code"], _refusal(answer)["executed"]) == ("output_invalid", "yes")
    assert "many" not in answer.text


async def test_an_exception_tells_the_agent_nothing(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        refusal = _refusal(await _call(guard, alice, "crash"))
    assert (refusal["code"], refusal["executed"]) == ("upstream_error", "unknown")
    assert "hunter2" not in json.dumps(refusal)


async def test_hidden_characters_are_taken_out_of_results(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        assert (await _call(guard, alice, "hidden")).structured == {"result": "safetext"}


async def test_a_timeout_of_an_act_is_in_doubt(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        answer = await _call(guard, alice, "impatient", seconds=30)
    refusal = _refusal(answer)
    assert (refusal["code"], refusal["executed"], refusal["retry"]) == ("upstream_timeout", "unknown", "never")
    assert _records(home, answer.call)[-1]["status"] == "timeout"


@pytest.mark.holds("pipeline:outlives-its-client")
async def test_a_call_outlives_the_client_that_made_it(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        call = ToolCall(guard.new_call_id(), "wait", {"seconds": 0.3})
        asking = asyncio.create_task(guard.call(alice, call))
        async with asyncio.timeout(60):
            while not _records(home, call.id):
                await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert [record.get("status") for record in _records(home, call.id)] == [None, "ok"]


async def test_a_stopping_guard_cancels_what_will_not_end(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        call = ToolCall(guard.new_call_id(), "wait", {"seconds": 4})
        asking = asyncio.create_task(guard.call(alice, call))
        async with asyncio.timeout(60):
            while not _records(home, call.id):
                await asyncio.sleep(0.01)
        await guard.pipeline.drain(0.05)
        refusal = _refusal(await asking)
    assert (refusal["code"], refusal["executed"]) == ("cancelled", "unknown")
    assert [record.get("status") for record in _records(home, call.id)] == [None, "cancelled"]


@pytest.mark.holds("pipeline:retries-are-one-act")
async def test_attempts_share_one_idempotency_key_and_one_record(home: Path, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    payments.misbehave("reset", times=2)  # it happens, and nobody is told: the retry must not make it happen again
    async with _guard(home) as (guard, alice):
        answer = await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=9)
    assert not answer.is_error, answer.text
    assert len(payments.ledger.entries()) == before + 1
    assert [record["kind"] for record in _records(home, answer.call)] == ["intent", "outcome"]


@pytest.mark.holds("audit:parallel-calls-one-chain")
async def test_many_calls_at_once_leave_one_good_chain(home: Path) -> None:
    from mcp_guard.audit.verify import verify

    async with _guard(home) as (guard, alice):
        answers = await asyncio.gather(*(_call(guard, alice, "orders_get", order_id="ORD-1001") for _ in range(200)))
    assert not any(answer.is_error for answer in answers)
    receipts = [answer.receipt for answer in answers if answer.receipt]
    assert len({receipt.n for receipt in receipts}) == 200
    report = verify(home / "var" / "guard.db", deep=True)
    assert report.ok, report.error


async def _freeze(guard: Guard, target: str) -> None:
    """As an operator at another process would."""
    async with open_freezing(guard.definition.home) as admin:
        await admin.freeze(target, "laptop stolen")


@pytest.mark.holds("freeze:stops")
@pytest.mark.parametrize(
    "target", ["user:alice", "agent:local", "tenant:acme", "tool:payments_refund", "service:relay"]
)
async def test_what_is_frozen_does_nothing_from_the_next_call_on(target: str, home: Path, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    with (home / "policy" / "policy.csv").open("a", encoding="utf-8") as policy:
        policy.write("g, service:relay, role:support, acme\n")
    async with _guard(home) as (guard, alice):
        await _freeze(guard, target)
        answer = await _call(
            guard, replace(alice, chain=("service:relay",)), "payments_refund", order_id="ORD-1002", amount=3
        )
        assert {tool.name for tool in guard.visible_tools(alice)} >= {"payments_refund"}, "freezing is not hiding"
    refusal = _refusal(answer)
    assert (refusal["code"], refusal["rule"], refusal["effect"]) == ("frozen", "guard:frozen", "deny")
    assert (refusal["reason"], refusal["executed"], refusal["retry"]) == ("laptop stolen", "no", "never")
    [record] = _records(home, answer.call)
    assert (record["status"], record["code"], record["decision"]["rule"]) == ("refused", "frozen", "guard:frozen")
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("freeze:stops", "policy:hidden-is-unknown")
async def test_a_freeze_tells_nothing_about_what_is_hidden(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        for target in ("user:alice", "tool:customers_delete", "tool:no_such_tool"):
            await _freeze(guard, target)
        for name in ("customers_delete", "no_such_tool"):
            with pytest.raises(UnknownTool, match=r"^There is no such tool\.$"):
                await _call(guard, alice, name)


@pytest.mark.holds("freeze:fails-closed")
async def test_while_nobody_can_say_what_is_frozen_nothing_is_executed(home: Path, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    async with _guard(home) as (guard, alice):
        with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
            database.execute("ALTER TABLE freeze RENAME TO thawed")
        refused = await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=3)
        with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
            database.execute("ALTER TABLE thawed RENAME TO freeze")
        assert not (await _call(guard, alice, "orders_get", order_id="ORD-1001")).is_error
    assert (_refusal(refused)["code"], _refusal(refused)["executed"]) == ("audit_unavailable", "no")
    assert len(payments.ledger.entries()) == before


async def _rehearse(guard: Guard, principal: Principal, tool: str, **arguments: object) -> Answer:
    return await guard.call(principal, ToolCall(guard.new_call_id(), tool, arguments, dry_run="yes"))


@pytest.mark.holds("dry-run:decides-only")
@pytest.mark.parametrize(
    ("amount", "effect", "rule"),
    [(3, "allow", "refund-small"), (800, "require_approval", "refund-large"), (9000, "deny", "refund-limit")],
)
async def test_a_dry_run_says_what_would_be_decided_and_does_nothing(
    amount: int, effect: str, rule: str, home: Path, payments: Sandbox
) -> None:
    before = len(payments.ledger.entries())
    async with _guard(home) as (guard, alice):
        told = await _rehearse(guard, alice, "payments_refund", order_id="ORD-1002", amount=amount, reason="canary")
        assert len(payments.ledger.entries()) == before
        real = await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=amount)
    assert (told.is_error, told.exit_code) == (False, 0)
    view: Any = told.structured["guard"]
    assert (view["code"], view["effect"], view["rule"], view["executed"]) == ("dry_run", effect, rule, "no")
    assert told.text.startswith(f"NOT EXECUTED: a dry run; {effect}: ")
    assert ("then" in view) is (effect == "require_approval")
    [record] = _records(home, told.call)
    assert (record["kind"], record["status"], record["executed"], record["dry_run"]) == ("outcome", "ok", "no", 1)
    assert "code" not in record
    assert told.receipt is not None
    assert told.receipt.n == record["_n"]
    first, *rest = [found for found in _records(home, real.call) if found["kind"] != "approval"]
    assert first["decision"] == record["decision"], "the real call is decided alike"
    assert all("dry_run" not in found for found in (first, *rest))


@pytest.mark.holds("dry-run:decides-only")
async def test_a_dry_run_of_a_look_up_looks_nothing_up(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        told = await _rehearse(guard, alice, "orders_get", order_id="ORD-1001")
        failing = await _rehearse(guard, alice, "crash")
    assert "rows" not in told.structured
    assert not failing.is_error, "what crashes was not run"


@pytest.mark.holds("dry-run:decides-only", "freeze:stops")
async def test_a_dry_run_knows_of_scopes_and_freezes(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        narrow = replace(alice, scopes=frozenset())
        lacking = await _rehearse(guard, narrow, "payments_refund", order_id="ORD-1002", amount=3)
        await _freeze(guard, "user:alice")
        frozen = await _rehearse(guard, alice, "payments_refund", order_id="ORD-1002", amount=3)
    views: list[Any] = [answer.structured["guard"] for answer in (lacking, frozen)]
    assert [(view["effect"], view["rule"]) for view in views] == [("deny", "guard:scope"), ("deny", "guard:frozen")]


@pytest.mark.holds("dry-run:decides-only")
@pytest.mark.parametrize("arguments", [{"amount": "3"}, {"amount": 3, "requested_by": "user:bob"}, {}])
async def test_a_dry_run_of_bad_arguments_is_refused_like_the_call(arguments: dict[str, object], home: Path) -> None:
    async with _guard(home) as (guard, alice):
        told = await _rehearse(guard, alice, "payments_refund", order_id="ORD-1002", **arguments)
        real = await _call(guard, alice, "payments_refund", order_id="ORD-1002", **arguments)
    call, same = _refusal(told).pop("call"), _refusal(real)
    assert {**_refusal(told), "call": ""} == {**same, "call": ""}
    [record] = _records(home, call)
    assert (record["status"], record["code"], record["dry_run"]) == ("refused", "args_invalid", 1)


@pytest.mark.holds("dry-run:decides-only", "policy:hidden-is-unknown")
async def test_a_dry_run_tells_nothing_about_what_is_hidden(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        for dry_run in ("yes", "malformed"):
            for name in ("customers_delete", "no_such_tool"):
                call = ToolCall(guard.new_call_id(), name, {"customer_id": "CUS-1001"}, dry_run=dry_run)
                with pytest.raises(UnknownTool):
                    await guard.call(alice, call)
                [record] = _records(home, call.id)
                assert (record["status"], record["executed"]) == ("refused", "no")


@pytest.mark.holds("dry-run:never-an-act")
async def test_a_malformed_wish_for_a_dry_run_is_not_carried_out(home: Path, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    async with _guard(home) as (guard, alice):
        wanted = {"order_id": "ORD-1002", "amount": 3}
        answer = await guard.call(alice, ToolCall(guard.new_call_id(), "payments_refund", wanted, dry_run="malformed"))
    assert (_refusal(answer)["code"], _refusal(answer)["executed"]) == ("args_invalid", "no")
    assert "mcp-guard/dry_run" in _refusal(answer)["reason"]
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("dry-run:decides-only")
async def test_a_dry_run_that_cannot_be_recorded_tells_nothing(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        lock = sqlite3.connect(home / "var" / "guard.db", isolation_level=None)
        with closing(lock):
            lock.execute("BEGIN IMMEDIATE")
            answer = await _rehearse(guard, alice, "payments_refund", order_id="ORD-1002", amount=3)
            lock.execute("ROLLBACK")
    assert _refusal(answer)["code"] == "audit_unavailable"
    assert "refund-small" not in answer.text


@pytest.mark.holds("audit:lists-recorded")
async def test_what_a_list_showed_and_withheld_is_on_record(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        shown = await guard.list_tools(alice)
        catalog = guard.definition.catalog
        visible = {tool.name for tool in guard.visible_tools(alice)}
        assert {tool.name for tool in shown} == visible | {"task_cancel", "task_status"}
    [listed] = [record["state"] for record in _records(home) if record["kind"] == "read"]
    names = "".join(f"{tool.name}\n" for tool in shown)
    assert listed == {
        "what": "tools",
        "shown": hashlib.sha256(names.encode()).hexdigest(),
        "count": len(shown),
        "withheld": len(catalog) - len(visible),
        "by": {"guard:default": len(catalog) - len(visible)},
    }
