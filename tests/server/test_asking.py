"""Calls of modern clients that wait between two requests: how many there may be, and how long they are kept."""

import asyncio
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from mcp_guard.model.back_channel import Ask, Form, Said
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from mcp_guard.server import asking
from mcp_guard.server.asking import MOST_EACH, Holding

FORM = Form("Who?", {"type": "object", "properties": {}})


class Asks:
    """A guard whose only tool asks once, and answers with what was said."""

    def __init__(self) -> None:
        self.said: list[Said | None] = []

    async def call(self, _: Principal, call: ToolCall, __: object, ask: Ask) -> Answer:
        self.said.append(await ask(FORM))
        return Answer(call.id, {"said": str(self.said[-1])}, "", False, None)


def _who(subject: str) -> Principal:
    return Principal(subject, "agent:x", "acme", "bearer", "token")


async def _begin(holding: Holding, subject: str = "user:alice") -> Any:
    return await holding.call(_who(subject), ToolCall("c", "t"), None)


def _params(action: str) -> dict[str, Any]:
    return {"inputResponses": {"mirrored": {"action": action, "content": {"a": 1}}}}


@pytest.mark.holds("upstream:asks-bounded")
async def test_so_many_calls_of_one_principal_wait_and_those_of_others_all_the_same() -> None:
    surface: Any = Asks()
    holding = Holding(surface)
    waiting = [await _begin(holding) for _ in range(MOST_EACH)]
    assert all(one["resultType"] == "input_required" for one in waiting)
    refused = await _begin(holding)
    assert refused.structured == {"said": "None"}
    other = await _begin(holding, "user:bob")
    assert other["resultType"] == "input_required"
    for one in [*waiting, other]:
        await holding.again(one["requestState"], _params("accept"), None)
    assert surface.said[1:] == [Said("accept", {"a": 1})] * (MOST_EACH + 1)
    assert (await _begin(holding))["resultType"] == "input_required", "there is room again"


@pytest.mark.holds("upstream:asks-resumed")
@pytest.mark.parametrize("said", [None, {}, {"inputResponses": {"mirrored": {"action": "yes"}}}])
async def test_what_is_no_answer_is_none(said: Any) -> None:
    surface: Any = Asks()
    holding = Holding(surface)
    asked = await _begin(holding)
    await holding.again(asked["requestState"], said or {}, None)
    assert surface.said == [Said("cancel", {})]


@pytest.mark.holds("upstream:asks-resumed")
async def test_the_end_of_a_call_nobody_comes_back_for_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "KEPT_SECONDS", 0.05)
    surface: Any = Asks()
    holding = Holding(surface)
    asked, other = await _begin(holding), await _begin(holding)
    await holding.again(other["requestState"], _params("decline"), None)
    with pytest.raises(MCPError):
        await holding.again(other["requestState"], _params("accept"), None)
    (held, task) = holding._open[asked["requestState"].removeprefix(asking.PREFIX)]
    next(iter(held.ids.values())).set_result(None)
    await task
    async with asyncio.timeout(10):
        while holding._open:
            await asyncio.sleep(0.01)
    with pytest.raises(MCPError):
        await holding.again(asked["requestState"], _params("accept"), None)
