"""The requester's own confirmation in a form of their client, in both eras over both transports, and every way in which
something else is no confirmation."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestFormParams, ElicitResult

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from tests.server.conftest import ERAS, TRANSPORTS, Desk
from tests.simulators.process import Program
from tests.simulators.raw import META, exchange, request

SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]
MODERN = ERAS[1]

_ASKS = (
    "p, {0}, role:support, *, acme, call, payments_refund, r.ctx.args.amount == {1}, require_approval, {2}, looked at\n"
)
RULES = "".join(
    _ASKS.format(*row)
    for row in (
        ("refund-odd", 91, "confirm=requester; expires=1h"),
        ("refund-both", 92, "confirm=requester; approvers=role:finance; not=requester"),
    )
)
FORMS: dict[str, Any] = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}


@dataclass
class Person:
    """Whoever sits at a client: what they were asked, and what they answer."""

    action: str = "accept"
    content: Any = field(default_factory=lambda: {"confirm": "yes"})
    asked: list[str] = field(default_factory=list)
    release: asyncio.Event | None = None

    async def __call__(self, _: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        assert params.requested_schema["required"] == ["confirm"]
        self.asked.append(params.message)
        if self.release is not None:
            await self.release.wait()
        return ElicitResult(action=self.action, content=self.content)  # type: ignore[arg-type]


Connect = Callable[..., AbstractAsyncContextManager[Client]]


def _home(directory: Path, port: int, secret: str) -> Program:
    home = copy_home(directory / "desk", port)
    seed(home, secret)
    rules = home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text + RULES, encoding="utf-8")
    settings = home / "mcp-guard.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + "tasks: {confirm_wait: 3s}\n", encoding="utf-8")
    return Program(home)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, payments: sandbox.Sandbox, payments_secret: str) -> Iterator[Desk]:
    program = _home(tmp_path_factory.mktemp("confirm"), payments.port, payments_secret)
    tokens = {
        "alice": program.token("user:alice", "--client", "agent:local"),
        "alice elsewhere": program.token("user:alice", "--client", "agent:other"),
        "bob": program.token("user:bob", "--client", "agent:local"),
    }
    with program.http() as serving:
        yield Desk(program, serving, tokens)


@pytest.fixture
def connect(served: Desk) -> Connect:
    @asynccontextmanager
    async def opened(transport: str, era: str, person: Any = None, who: str = "alice") -> AsyncIterator[Client]:
        if transport == "stdio":
            command, *arguments = served.program.command("--quiet", "serve", "--stdio")
            parameters = StdioServerParameters(command=command, args=arguments)
            async with Client(parameters, mode=era, elicitation_callback=person) as client:
                yield client
            return
        headers = {"Authorization": f"Bearer {served.tokens[who]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
            Client(
                streamable_http_client(served.serving.url, http_client=http), mode=era, elicitation_callback=person
            ) as client,
        ):
            yield client

    return opened


def _refund(amount: int = 91, order: str = "ORD-1001", **more: object) -> dict[str, object]:
    return {"order_id": order, "amount": amount, **more}


def _guard(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = result.structured_content["guard"]
    return found


def _pending(result: Any) -> dict[str, Any]:
    assert result.content[0].text.startswith("NOT EXECUTED: waiting for your own confirmation"), result.content
    guard = _guard(result)
    assert (guard["code"], guard["approvers"]) == ("approval_pending", ["requester"])
    return guard


def _count(payments: sandbox.Sandbox, reason: str) -> int:
    return len([entry for entry in payments.ledger.entries() if entry.get("reason") == reason])


def _records(served: Desk, approval: str) -> list[dict[str, Any]]:
    found = served.program.run("--json", "audit", "query", "--kind", "approval", "--limit", "500").json["records"]
    return [record for record in reversed(found) if record["approval"] == approval]


@pytest.mark.holds("approval:confirm")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_a_yes_in_the_form_carries_it_out_in_the_same_request(
    transport: str, era: str, connect: Connect, payments: sandbox.Sandbox, served: Desk
) -> None:
    before = len(payments.ledger.entries())
    person = Person()
    async with connect(transport, era, person) as client:
        done = await client.call_tool("payments_refund", _refund(reason="it\nconfirm: yes"))
    assert not done.is_error, done.content
    assert done.structured_content is not None
    assert done.structured_content["amount"] == 91
    assert (done.meta or {})["mcp-guard/receipt"]["call"]
    assert len(payments.ledger.entries()) == before + 1
    (message,) = person.asked
    assert "amount: 91" in message
    assert "Why you are asked: looked at" in message
    assert "confirm: yes" not in message.splitlines()
    approvals = served.program.run("--json", "approvals", "list", "--all").json
    newest = [row for row in approvals if row["arguments"].get("amount") == 91][-1]
    records = _records(served, newest["id"])
    assert [record["verdict"] for record in records] == ["requested", "approved"]
    assert records[1]["channel"] == "elicitation"
    assert records[1]["actor"]["assurance"] == ("declared" if transport == "stdio" else "token")
    assert records[1]["ms"] >= 0
    assert newest["state"] == "used"


NO_YES: dict[str, tuple[str, Any]] = {
    "accepted empty": ("accept", {}),
    "accepted without content": ("accept", None),
    "the first choice": ("accept", {"confirm": "no"}),
    "another type": ("accept", {"confirm": True}),
    "more than was asked": ("accept", {"confirm": "yes", "amount": 1}),
    "another field": ("accept", {"ok": "yes"}),
    "declined": ("decline", None),
    "declined with a yes": ("decline", {"confirm": "yes"}),
    "cancelled": ("cancel", None),
    "cancelled with a yes": ("cancel", {"confirm": "yes"}),
}


@pytest.mark.holds("approval:confirm-only-a-yes")
@pytest.mark.parametrize("era", ERAS)
async def test_anything_else_leaves_it_waiting_for_another_channel(
    era: str, connect: Connect, payments: sandbox.Sandbox, served: Desk
) -> None:
    before = len(payments.ledger.entries())
    for case, (action, content) in NO_YES.items():
        async with connect("http", era, Person(action, content)) as client:
            guard = _pending(await client.call_tool("payments_refund", _refund(reason=f"{era} {case}")))
            task: Any = (await client.call_tool("task_status", {"task_id": guard["task_id"]})).structured_content
            assert task["task"]["status"] == "input_required", case
            assert [record["verdict"] for record in _records(served, guard["approval_id"])] == ["requested"], case
            await client.call_tool("task_cancel", {"task_id": guard["task_id"]})
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("approval:confirm-only-a-yes")
@pytest.mark.parametrize("era", ERAS)
async def test_who_said_no_is_not_asked_on_and_on(era: str, connect: Connect) -> None:
    for person, times in ((Person("decline", None), 1), (Person("cancel", None), 3)):
        async with connect("http", era, person) as client:
            guards = [
                _pending(await client.call_tool("payments_refund", _refund(reason=f"{era} {times}"))) for _ in range(5)
            ]
            assert len({guard["task_id"] for guard in guards}) == 1
            assert len(person.asked) == times
            for _ in range(3):  # withdrawn and asked for anew it is still the same call
                await client.call_tool("task_cancel", {"task_id": guards[0]["task_id"]})
                guards = [_pending(await client.call_tool("payments_refund", _refund(reason=f"{era} {times}")))]
            assert len(person.asked) == times
            await client.call_tool("task_cancel", {"task_id": guards[0]["task_id"]})


@pytest.mark.holds("approval:confirm")
@pytest.mark.parametrize("era", ERAS)
async def test_without_forms_it_waits_and_is_confirmed_in_person_elsewhere(
    era: str, connect: Connect, served: Desk, payments: sandbox.Sandbox
) -> None:
    before = len(payments.ledger.entries())
    async with connect("http", era) as client:
        guard = _pending(await client.call_tool("payments_refund", _refund(reason=f"{era} elsewhere")))
        for who in ("bob",):
            refused = served.program.run("approvals", "approve", guard["approval_id"], "--token", served.tokens[who])
            assert refused.status == 5
        assert served.program.run("approvals", "approve", guard["approval_id"], "--as", "user:alice").status == 5
        said = served.program.run("approvals", "approve", guard["approval_id"], "--token", served.tokens["alice"])
        assert said.status == 0, said.err
        async with asyncio.timeout(60):
            while True:
                done: Any = (
                    await client.call_tool(guard["next"]["tool"], guard["next"]["arguments"])
                ).structured_content
                if done["task"]["status"] == "completed":
                    break
    assert len(payments.ledger.entries()) == before + 1


@pytest.mark.holds("approval:confirm-not-by-model")
async def test_no_tool_confirms_whoever_calls_it(connect: Connect, served: Desk) -> None:
    """A requester who may approve others' calls has the deciding tools; the model behind them has not asked itself."""
    async with connect("http", MODERN) as alice, connect("http", MODERN, who="bob") as bob:
        guard = _pending(await alice.call_tool("payments_refund", _refund(reason="by a tool")))
        listed: Any = (await bob.call_tool("approval_list", {})).structured_content
        assert guard["approval_id"] not in [row["id"] for row in listed["approvals"]]
        refused = await bob.call_tool("approval_decide", {"approval_id": guard["approval_id"], "decision": "approve"})
        assert refused.is_error
        await alice.call_tool("task_cancel", {"task_id": guard["task_id"]})


@pytest.mark.holds("approval:confirm-then-approvers")
@pytest.mark.parametrize("era", ERAS)
async def test_others_are_asked_once_it_is_confirmed(
    era: str, connect: Connect, served: Desk, payments: sandbox.Sandbox
) -> None:
    before = len(payments.ledger.entries())
    person = Person("cancel", None)
    async with connect("http", era, person) as alice, connect("http", era, who="bob") as bob:

        async def listed() -> list[str]:
            found: Any = (await bob.call_tool("approval_list", {})).structured_content
            return [row["id"] for row in found["approvals"]]

        first = await alice.call_tool("payments_refund", _refund(92, reason=f"{era} both"))
        assert first.content[0].text.startswith("NOT EXECUTED: waiting for your own confirmation, then role:finance")  # type: ignore[union-attr]
        assert await listed() == []
        refused = served.program.run(
            "approvals", "approve", _guard(first)["approval_id"], "--token", served.tokens["bob"]
        )
        assert refused.status == 5
        person.action, person.content = "accept", {"confirm": "yes"}
        then = await alice.call_tool("payments_refund", _refund(92, reason=f"{era} both"))
        assert "waiting for role:finance" in then.content[0].text  # type: ignore[union-attr]
        assert "Others are asked afterwards" in person.asked[-1]
        assert len(payments.ledger.entries()) == before
        (second,) = await listed()
        own = await alice.call_tool("payments_refund", _refund(92, reason=f"{era} both"))
        assert _guard(own)["approval_id"] == second
        assert len(person.asked) == 2, "what finance is asked is nobody else's to confirm"
        await bob.call_tool("approval_decide", {"approval_id": second, "decision": "approve"})
        async with asyncio.timeout(60):
            while True:
                status = {"task_id": _guard(first)["task_id"], "wait_s": 5}
                done: Any = (await alice.call_tool("task_status", status)).structured_content
                if done["task"]["status"] == "completed":
                    break
    assert len(payments.ledger.entries()) == before + 1


@pytest.mark.holds("approval:confirm-only-own")
@pytest.mark.parametrize("era", ERAS)
async def test_a_form_never_stands_in_for_another_person(era: str, connect: Connect) -> None:
    person = Person()
    async with connect("http", era, person) as alice:
        pending = await alice.call_tool("payments_refund", _refund(800, reason="for finance"))
        assert _guard(pending)["approvers"] == ["role:finance"]
        assert person.asked == []
        await alice.call_tool("task_cancel", {"task_id": _guard(pending)["task_id"]})


@pytest.mark.holds("approval:confirm-bounded")
async def test_a_form_that_is_never_answered_holds_up_nobody(connect: Connect) -> None:
    person = Person(release=asyncio.Event())
    async with connect("stdio", "legacy", person) as client, asyncio.timeout(60), anyio.create_task_group() as group:
        found: list[Any] = []

        async def ask() -> None:
            found.append(await client.call_tool("payments_refund", _refund(reason="hangs")))

        group.start_soon(ask)
        while not person.asked:
            await asyncio.sleep(0.01)
        good = await client.call_tool("orders_get", {"order_id": "ORD-1001"})
        assert not good.is_error
        again = _pending(await client.call_tool("payments_refund", _refund(reason="hangs")))
        assert len(person.asked) == 1, "it is not asked twice at a time"
        while not found:
            await asyncio.sleep(0.05)
        assert _pending(found[0])["task_id"] == again["task_id"]
        await client.call_tool("task_cancel", {"task_id": again["task_id"]})
        person.release.set()  # type: ignore[union-attr]


# --- what somebody could send instead ---------------------------------------------------------------------------------


async def _send(
    served: Desk, arguments: dict[str, object], who: str = "alice", meta: dict[str, Any] = FORMS, **more: object
) -> dict[str, Any]:
    params = {"name": "payments_refund", "arguments": arguments, "_meta": meta, **more}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    data = request(served.serving.port, body, token=served.tokens[who], tool="payments_refund")
    found: Any = (await exchange(served.serving.port, data)).json
    return dict(found)


YES: dict[str, Any] = {"confirm": {"action": "accept", "content": {"confirm": "yes"}}}


async def _asked(served: Desk, reason: str) -> str:
    first = (await _send(served, _refund(reason=reason)))["result"]
    assert first["resultType"] == "input_required", first
    assert first["inputRequests"]["confirm"]["method"] == "elicitation/create"
    return str(first["requestState"])


@pytest.mark.holds("approval:confirm-once")
async def test_a_state_that_comes_again_does_nothing_again(served: Desk, payments: sandbox.Sandbox) -> None:
    before = len(payments.ledger.entries())
    state = await _asked(served, "twice")
    answers = await asyncio.gather(
        *(_send(served, _refund(reason="twice"), requestState=state, inputResponses=YES) for _ in range(8))
    )
    results = [answer["result"] for answer in answers]
    assert any(result["structuredContent"].get("amount") == 91 for result in results)
    assert len(payments.ledger.entries()) == before + 1
    again = (await _send(served, _refund(reason="twice"), requestState=state, inputResponses=YES))["result"]
    assert again["structuredContent"]["amount"] == 91, "a lost answer can be asked for again"
    assert len(payments.ledger.entries()) == before + 1
    assert (await _asked(served, "twice")) != state, "the same call later is another call"


@pytest.mark.holds("approval:confirm-bound")
async def test_a_state_is_good_for_nothing_else(served: Desk, payments: sandbox.Sandbox) -> None:
    before = len(payments.ledger.entries())
    state = await _asked(served, "bound")
    flipped = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
    cases: dict[str, dict[str, Any]] = {
        "other arguments": {"arguments": _refund(reason="bounds")},
        "another order": {"arguments": _refund(order="ORD-1002", reason="bound")},
        "another client of hers": {"who": "alice elsewhere"},
        "somebody else": {"who": "bob"},
        "tampered with": {"requestState": flipped},
        "made up": {"requestState": "v1.AAAA"},
        "the id of the approval": {"requestState": "0" * 32},
        "no text": {"requestState": 5},
    }
    for case, change in cases.items():
        sent: dict[str, Any] = {"arguments": _refund(reason="bound"), "requestState": state, "inputResponses": YES}
        answer = await _send(served, **(sent | change))
        assert answer["error"]["code"] == -32602, case
    assert len(payments.ledger.entries()) == before
    faults = served.program.run("--json", "audit", "query", "--kind", "fault", "--limit", "50").json["records"]
    assert "request_state" in [fault["state"]["code"] for fault in faults]


@pytest.mark.holds("approval:confirm-bound")
async def test_an_answer_without_its_state_is_no_answer(served: Desk, payments: sandbox.Sandbox) -> None:
    before = len(payments.ledger.entries())
    for more in ({"inputResponses": YES}, {"inputResponses": YES, "requestState": None}):
        answer = (await _send(served, _refund(reason="no state"), **more))["result"]
        assert answer["resultType"] == "input_required"
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("approval:confirm-only-a-yes")
async def test_answers_under_another_key_or_of_another_form_confirm_nothing(
    served: Desk, payments: sandbox.Sandbox
) -> None:
    before = len(payments.ledger.entries())
    for number, responses in enumerate(
        (
            {},
            {"other": YES["confirm"]},
            {"confirm": {"action": "accept"}},
            {"confirm": {"action": "accept", "content": {"confirm": ["yes"]}}},
            {"confirm": {"action": "ACCEPT", "content": {"confirm": "yes"}}},
            {"confirm": {"roots": []}},
            {"confirm": {"action": "accept", "content": {"confirm": "yes", "x": None}}},
            "yes",
        )
    ):
        state = await _asked(served, f"form {number}")
        for _ in range(6):  # a flood of retries is answered, and nobody is asked again by it
            answer = await _send(served, _refund(reason=f"form {number}"), requestState=state, inputResponses=responses)
            found = answer.get("result", {})
            assert found.get("resultType") in (None, "complete"), answer
            if found:
                assert found["structuredContent"]["guard"]["code"] == "approval_pending", answer
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("approval:confirm-bounded")
async def test_clients_that_show_no_forms_are_not_asked(served: Desk) -> None:
    for number, capabilities in enumerate(({}, {"elicitation": {"url": {}}}, {"elicitation": None}, {"roots": {}})):
        meta = META | {"io.modelcontextprotocol/clientCapabilities": capabilities}
        answer = (await _send(served, _refund(reason=f"none {number}"), meta=meta))["result"]
        assert answer["structuredContent"]["guard"]["code"] == "approval_pending", answer


@pytest.mark.holds("approval:confirm")
async def test_a_state_is_good_after_a_restart(tmp_path: Path, payments: sandbox.Sandbox, payments_secret: str) -> None:
    program = _home(tmp_path, payments.port, payments_secret)
    tokens = {"alice": program.token("user:alice", "--client", "agent:local")}
    before = len(payments.ledger.entries())
    with program.http() as serving:
        state = await _asked(Desk(program, serving, tokens), "restarted")
        serving.process.kill()
        serving.process.wait(timeout=60)
    with program.http() as serving:
        desk = Desk(program, serving, tokens)
        done = await _send(desk, _refund(reason="restarted"), requestState=state, inputResponses=YES)
    assert done["result"]["structuredContent"]["amount"] == 91
    assert len(payments.ledger.entries()) == before + 1


@pytest.mark.holds("approval:confirm", "approval:crash")
@pytest.mark.parametrize("point", ["approvals.decided", "tasks.resuming", "pipeline.before-act", "pipeline.after-act"])
async def test_killed_behind_the_yes_it_goes_on_and_happens_once(
    point: str, tmp_path: Path, payments: sandbox.Sandbox, payments_secret: str
) -> None:
    program = _home(tmp_path, payments.port, payments_secret)
    tokens = {"alice": program.token("user:alice", "--client", "agent:local")}
    before = len(payments.ledger.entries())
    with program.http({"MCP_GUARD_FAILPOINT": point}) as serving:
        desk = Desk(program, serving, tokens)
        state = await _asked(desk, "killed")
        params = {"name": "payments_refund", "arguments": _refund(reason="killed"), "_meta": FORMS}
        params |= {"requestState": state, "inputResponses": YES}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        sent = request(serving.port, body, token=tokens["alice"], tool="payments_refund")
        assert (await exchange(serving.port, sent)).status == 0, "it died"
    with program.http() as serving:
        desk = Desk(program, serving, tokens)
        async with asyncio.timeout(60):
            while True:
                done = (await _send(desk, _refund(reason="killed"), requestState=state, inputResponses=YES))["result"]
                if "amount" in done["structuredContent"]:
                    break
    assert len(payments.ledger.entries()) == before + 1
