"""`task://{id}`: how far a task is, for whose it is; both eras, both transports, real clients."""

import json
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from mcp_guard.server.resources import TASK_TEMPLATE
from tests.server.conftest import ERAS, Connect, Desk
from tests.server.test_subscriptions import watching

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


async def parked(client: Client, amount: float) -> dict[str, Any]:
    """A refund that waits for finance: what its requester is told."""
    pending: Any = await client.call_tool("payments_refund", {"order_id": "ORD-1001", "amount": amount})
    found: dict[str, Any] = pending.structured_content["guard"]
    assert found["code"] == "approval_pending"
    return found


async def read(client: Client, uri: str) -> dict[str, Any]:
    result = await client.read_resource(uri)
    document: dict[str, Any] = json.loads(result.contents[0].text)  # type: ignore[union-attr]
    return document


async def refused(client: Client, uri: str) -> tuple[int, str, object]:
    with pytest.raises(MCPError) as error:
        await client.read_resource(uri)
    return error.value.error.code, error.value.error.message, error.value.error.data


@pytest.mark.holds("tasks:resource")
@pytest.mark.parametrize("era", ERAS)
async def test_ones_own_task_is_read_with_its_steps_and_that_is_on_record(era: str, connect: Connect) -> None:
    async with connect("http", era) as alice:
        pending = await parked(alice, 1210 + ERAS.index(era))
        task = (await read(alice, f"task://{pending['task_id']}"))["task"]
        assert (task["task_id"], task["status"]) == (pending["task_id"], "input_required")
        assert [(step["id"], step["state"]) for step in task["steps"]] == [("call", "waiting")]
        templates = await alice.list_resource_templates()
        assert TASK_TEMPLATE in [template.uri_template for template in templates.resource_templates]
        reads = (await read(alice, "audit://records?kind=read&limit=5"))["records"]
        assert {"what": "task", "task": pending["task_id"], "count": 1} in [record["state"] for record in reads]
        await alice.call_tool("task_cancel", {"task_id": pending["task_id"]})
        assert (await read(alice, f"task://{pending['task_id']}"))["task"]["status"] == "cancelled"


@pytest.mark.holds("tasks:resource")
@pytest.mark.parametrize("era", ERAS)
async def test_a_task_of_somebody_else_and_one_that_is_not_there_look_alike(era: str, connect: Connect) -> None:
    async with (
        connect("http", era) as alice,
        connect("http", era, "carol") as carol,
        connect("http", era, "alice via untrusted") as other_agent,
    ):
        pending = await parked(alice, 1220 + ERAS.index(era))
        unknown = await refused(carol, "task://" + "0" * 32)
        for stranger in (carol, other_agent):
            assert await refused(stranger, f"task://{pending['task_id']}") == unknown
        for odd in ("task://", "task://x", f"task://{pending['task_id']}?a=b", f"task://{pending['task_id']}/steps"):
            assert await refused(alice, odd) == unknown
        assert pending["task_id"] not in json.dumps(unknown)
        await alice.call_tool("task_cancel", {"task_id": pending["task_id"]})


@pytest.mark.holds("tasks:told")
@pytest.mark.parametrize("era", ERAS)
async def test_whose_task_it_is_hears_of_it_and_nobody_else(era: str, served: Desk, connect: Connect) -> None:
    async with connect("http", era) as alice:
        pending = await parked(alice, 1230 + ERAS.index(era))
        other = await parked(alice, 1240 + ERAS.index(era))
    uri = f"task://{pending['task_id']}"
    async with watching(served, "http", era, "alice", uri) as (alice, told):
        for _ in range(3):
            await read(alice, uri)
        await alice.call_tool("task_cancel", {"task_id": other["task_id"]})
        await alice.call_tool("task_cancel", {"task_id": pending["task_id"]})
        assert await told.next() == uri
    assert told.uris == [uri]


@pytest.mark.holds("tasks:told")
async def test_a_stranger_cannot_subscribe_and_learns_nothing_by_trying(connect: Connect) -> None:
    async with connect("http", ERAS[0]) as alice, connect("http", ERAS[0], "carol") as carol:
        pending = await parked(alice, 1250)
        answers = []
        for identifier in (pending["task_id"], "0" * 32):
            with pytest.raises(MCPError) as error:
                await carol.session.subscribe_resource(f"task://{identifier}")
            answers.append((error.value.error.code, error.value.error.message, error.value.error.data))
        assert answers[0] == answers[1]
        await alice.call_tool("task_cancel", {"task_id": pending["task_id"]})
