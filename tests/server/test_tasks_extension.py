"""The tasks extension (`io.modelcontextprotocol/tasks`): what clients that declare it get, and nobody else."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    Request,
    RequestParams,
    Result,
)

from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.server.declared import TASKS
from tests.server.asking import DECLARED, ask, body
from tests.server.conftest import ERAS, Connect, Desk
from tests.simulators.process import Program
from tests.simulators.raw import META


async def refund(served: Desk, amount: int, meta: dict[str, Any] = DECLARED) -> dict[str, Any]:
    params: dict[str, object] = {"name": "payments_refund", "arguments": {"order_id": "ORD-1001", "amount": amount}}
    found: dict[str, Any] = (await ask(served, "tools/call", params, meta=meta))["result"]
    return found


async def approve(connect: Connect, task: str, decision: str = "approve") -> None:
    async with connect("http", ERAS[1], "bob") as bob:
        listed: Any = (await bob.call_tool("approval_list", {})).structured_content
        (mine,) = [row for row in listed["approvals"] if row["task_id"] == task]
        decided = await bob.call_tool("approval_decide", {"approval_id": mine["id"], "decision": decision})
        assert not decided.is_error


async def ended(served: Desk, client: Client, task: str) -> dict[str, Any]:
    """A task once it has ended, by `tasks/get`."""
    async with asyncio.timeout(60):
        while True:
            await client.call_tool("task_status", {"task_id": task, "wait_s": 20})
            found: dict[str, Any] = (await ask(served, "tasks/get", {"taskId": task}))["result"]
            if found["status"] != "working":
                return found


@pytest.mark.holds("tasks:extension")
async def test_a_parked_call_is_a_task_and_its_result_is_fetched_by_id(
    served: Desk, connect: Connect, payments: Sandbox
) -> None:
    before = len(payments.ledger.entries())
    begun = await refund(served, 1310)
    assert begun["resultType"] == "task"
    assert begun["status"] == "working"
    assert begun["ttlMs"] is None
    assert begun["_meta"]["mcp-guard/receipt"]["call"]
    assert not begun.keys() & {"content", "structuredContent", "isError"}
    waiting = (await ask(served, "tasks/get", {"taskId": begun["taskId"]}))["result"]
    assert (waiting["resultType"], waiting["status"]) == ("complete", "working")
    assert waiting["createdAt"] == begun["createdAt"]
    assert "result" not in waiting
    assert (await refund(served, 1310))["taskId"] == begun["taskId"]
    await approve(connect, begun["taskId"])
    async with connect("http", ERAS[1]) as alice:
        done = await ended(served, alice, begun["taskId"])
    assert done["status"] == "completed"
    assert done["result"]["structuredContent"]["amount"] == 1310
    assert done["result"]["isError"] is False
    assert json.loads(done["result"]["content"][0]["text"]) == done["result"]["structuredContent"]
    assert len(payments.ledger.entries()) == before + 1


@pytest.mark.holds("tasks:extension")
async def test_a_denied_call_is_completed_with_an_error_not_failed(served: Desk, connect: Connect) -> None:
    begun = await refund(served, 1320)
    await approve(connect, begun["taskId"], "deny")
    async with connect("http", ERAS[1]) as alice:
        done = await ended(served, alice, begun["taskId"])
    assert done["status"] == "completed"
    assert done["result"]["isError"] is True
    assert done["result"]["structuredContent"]["guard"]["code"] == "approval_denied"


@pytest.mark.holds("tasks:extension")
async def test_a_cancelled_task_is_acknowledged_and_cancelled(served: Desk) -> None:
    begun = await refund(served, 1330)
    acknowledged = (await ask(served, "tasks/cancel", {"taskId": begun["taskId"]}))["result"]
    assert acknowledged.keys() == {"resultType", "_meta"}
    found = (await ask(served, "tasks/get", {"taskId": begun["taskId"]}))["result"]
    assert found["status"] == "cancelled"
    assert "result" not in found


@pytest.mark.holds("tasks:extension")
async def test_answers_to_what_was_never_asked_are_acknowledged_and_change_nothing(served: Desk) -> None:
    begun = await refund(served, 1340)
    params: dict[str, object] = {"taskId": begun["taskId"], "inputResponses": {"approve": {"action": "accept"}}}
    acknowledged = (await ask(served, "tasks/update", params))["result"]
    assert acknowledged["resultType"] == "complete"
    assert (await ask(served, "tasks/get", {"taskId": begun["taskId"]}))["result"]["status"] == "working"
    await ask(served, "tasks/cancel", {"taskId": begun["taskId"]})


@pytest.mark.holds("tasks:extension-owner")
@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_a_task_of_somebody_else_one_that_is_not_there_and_no_id_look_alike(method: str, served: Desk) -> None:
    begun = await refund(served, 1350)
    unknown = (await ask(served, method, {"taskId": "0" * 32}))["error"]
    assert unknown["code"] == INVALID_PARAMS
    for who in ("carol", "bob", "alice via untrusted"):
        assert (await ask(served, method, {"taskId": begun["taskId"]}, who=who))["error"] == unknown
    for odd in ("", "../x", begun["taskId"].upper(), begun["taskId"] + "0"):
        assert (await ask(served, method, {"taskId": odd}))["error"] == unknown
    assert (await ask(served, "tasks/get", {"taskId": begun["taskId"]}))["result"]["status"] == "working"
    await ask(served, "tasks/cancel", {"taskId": begun["taskId"]})


@pytest.mark.holds("tasks:extension-owner")
async def test_the_header_that_routes_names_the_task_or_nothing_happens(served: Desk) -> None:
    begun = await refund(served, 1360)
    for name in ("0" * 32, "", "payments_refund"):
        refused = await ask(served, "tasks/cancel", {"taskId": begun["taskId"]}, name=name)
        assert refused["error"]["code"] == HEADER_MISMATCH
    assert (await ask(served, "tasks/get", {"taskId": begun["taskId"]}))["result"]["status"] == "working"
    await ask(served, "tasks/cancel", {"taskId": begun["taskId"]})


@pytest.mark.holds("tasks:extension-declared")
@pytest.mark.parametrize(
    "capabilities", [{}, {"extensions": {}}, {"extensions": {TASKS: True}}, {"extensions": [TASKS]}]
)
async def test_who_does_not_declare_it_in_the_request_gets_plain_results(
    capabilities: dict[str, Any], served: Desk
) -> None:
    meta = META | {"io.modelcontextprotocol/clientCapabilities": capabilities}
    pending = await refund(served, 1370, meta)
    assert pending["resultType"] == "complete"
    task = pending["structuredContent"]["guard"]["task_id"]
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        refused = (await ask(served, method, {"taskId": task}, meta=meta))["error"]
        assert refused["code"] == MISSING_REQUIRED_CLIENT_CAPABILITY
        assert refused["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    assert (await ask(served, "tasks/get", {"taskId": task}))["result"]["status"] == "working"
    await ask(served, "tasks/cancel", {"taskId": task})


@pytest.mark.holds("tasks:extension-declared")
async def test_the_legacy_era_has_no_such_methods(desk: Program) -> None:
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"extensions": {TASKS: {}}},
            "clientInfo": {"name": "raw", "version": "1"},
        },
    }
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    claiming: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}
    get = {"jsonrpc": "2.0", "id": 2, "method": "tasks/get", "params": {"taskId": "0" * 32}}
    call = {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "payments_refund", "arguments": {"order_id": "ORD-1001", "amount": 1380}, "_meta": claiming},
    }
    with serving(desk) as process:
        send(process, *(json.dumps(message).encode() for message in (initialize, ready, get)))
        assert line(process)["id"] == 1
        assert line(process)["error"]["code"] == METHOD_NOT_FOUND
        send(process, json.dumps(call).encode())
        answer = line(process)
        assert "result" in answer, answer
        result = answer["result"]
        assert result["structuredContent"]["guard"]["code"] == "approval_pending"
        assert "taskId" not in result


@pytest.mark.holds("tasks:extension")
async def test_the_server_says_that_it_knows_the_extension(served: Desk) -> None:
    found = (await ask(served, "server/discover", {}, meta=META))["result"]
    assert found["capabilities"]["extensions"] == {TASKS: {}}


class Created(Result):
    """A `CreateTaskResult`, as a client of the SDK claims it."""

    result_type: Literal["task"]
    task_id: str


class TaskId(RequestParams):
    task_id: str


class GetTask(Request[TaskId, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    name_param: ClassVar[str | None] = "taskId"


class Found(Result):
    status: str
    result: CallToolResult | None = None


class Polling(ClientExtension):
    """A client of the SDK that waits for the end of a task, as the extension wants it."""

    identifier = TASKS

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Created, resolve=self.resolve)]

    async def resolve(self, created: Created, ctx: ClaimContext) -> CallToolResult:
        while True:
            found = await ctx.session.send_request(GetTask(params=TaskId(task_id=created.task_id)), Found)
            if found.status != "working":
                assert found.result is not None, found.status
                return found.result


@pytest.mark.holds("tasks:extension")
async def test_to_a_client_of_the_sdk_an_approved_call_is_just_a_slow_one(served: Desk, connect: Connect) -> None:
    headers = {"Authorization": f"Bearer {served.tokens['alice']}"}
    async with (
        connect("http", ERAS[1], "bob") as bob,
        httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
        Client(
            streamable_http_client(served.serving.url, http_client=http), mode=ERAS[1], extensions=[Polling()]
        ) as alice,
        asyncio.timeout(60),
    ):
        arguments = {"order_id": "ORD-1001", "amount": 1400}
        calling = asyncio.create_task(alice.call_tool("payments_refund", arguments))
        mine: list[Any] = []
        while not mine:
            listed: Any = (await bob.call_tool("approval_list", {})).structured_content
            mine = [row for row in listed["approvals"] if row["arguments"]["amount"] == 1400]
        await bob.call_tool("approval_decide", {"approval_id": mine[0]["id"], "decision": "approve"})
        result = await calling
    assert not result.is_error
    assert isinstance(result.structured_content, dict)
    assert result.structured_content["amount"] == 1400


@contextmanager
def serving(desk: Program) -> Iterator["subprocess.Popen[bytes]"]:
    command = desk.command("--quiet", "serve", "--stdio")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def send(process: "subprocess.Popen[bytes]", *messages: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(b"".join(message + b"\n" for message in messages))
    process.stdin.flush()


def line(process: "subprocess.Popen[bytes]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def listen(*tasks: str, meta: dict[str, Any] = DECLARED) -> bytes:
    return body("subscriptions/listen", {"notifications": {"taskIds": list(tasks)}}, meta, "l1")


def call(name: str, arguments: dict[str, object], identifier: str) -> bytes:
    return body("tools/call", {"name": name, "arguments": arguments}, identifier=identifier)


@pytest.mark.holds("tasks:extension")
def test_a_task_that_was_answered_is_there_after_a_kill(desk: Program) -> None:
    with serving(desk) as process:
        send(process, call("payments_refund", {"order_id": "ORD-1001", "amount": 1410}, "c1"))
        task = line(process)["result"]["taskId"]
        process.kill()
    with serving(desk) as process:
        send(process, body("tasks/get", {"taskId": task}))
        assert line(process)["result"]["status"] == "working"


@pytest.mark.holds("tasks:extension-owner")
def test_every_question_is_on_record_refused_ones_too(desk: Program) -> None:
    with serving(desk) as process:
        send(process, body("tasks/get", {"taskId": "0" * 32}))
        assert line(process)["error"]["code"] == INVALID_PARAMS
        send(process, body("tasks/get", {"taskId": "0" * 32}, META))
        assert line(process)["error"]["code"] == MISSING_REQUIRED_CLIENT_CAPABILITY
    records = desk.run("--json", "audit", "query").json["records"]
    assert [it["code"] for it in records if it.get("tool") == "task_status"] == ["args_invalid"]
    assert "capability" in [it["state"].get("code") for it in records if it["kind"] == "fault"]


@pytest.mark.holds("tasks:extension-told")
def test_a_client_that_listens_gets_the_whole_task_when_it_moves(desk: Program) -> None:
    with serving(desk) as process:
        send(process, call("payments_refund", {"order_id": "ORD-1001", "amount": 1390}, "c1"))
        task = line(process)["result"]["taskId"]
        send(process, listen(task, "0" * 32, "task://" + task))
        assert line(process)["params"]["notifications"] == {"taskIds": [task]}
        send(process, body("tasks/cancel", {"taskId": task}, identifier="c2"))
        messages = [line(process), line(process)]
        (told,) = [message for message in messages if message.get("method") == "notifications/tasks"]
        assert told["params"]["taskId"] == task
        assert told["params"]["status"] == "cancelled"
        assert told["params"]["ttlMs"] is None
        assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "l1"


@pytest.mark.holds("tasks:extension-told")
def test_listening_for_tasks_takes_a_client_that_declares_them(desk: Program) -> None:
    with serving(desk) as process:
        send(process, listen("0" * 32, meta=META))
        assert line(process)["error"]["code"] == MISSING_REQUIRED_CLIENT_CAPABILITY
        send(process, listen("0" * 32))
        assert line(process)["params"]["notifications"] == {}
