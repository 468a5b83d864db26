"""What cannot be listed cannot be called, nor told from what is not there (I6): random policies, real calls."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.admin.own_tools import OWN
from mcp_guard.build import Guard
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import UnknownTool
from mcp_guard.model.principal import Principal
from tests.test_tenants import TOOLS, Person, opened, persons, policies, read, reads_all

NAMES = [*TOOLS, "no_such_tool", "", "Orders_get", "orders_get ", "guard:whoami", "risk:low", "*", "orders_*"]

_fresh = count()


async def _ask(guard: Guard, who: Principal, name: str, dry_run: Any) -> tuple[str | None, str]:
    """What the guard says where it knows no such tool, and the call."""
    call = ToolCall(guard.new_call_id(), name, {}, dry_run=dry_run)
    try:
        await guard.call(who, call)
    except UnknownTool as unknown:
        return str(unknown), call.id
    return None, call.id


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """A record as its own caller reads it, without what differs between any two calls."""
    differing = ("_n", "_p", "_t", "call", "tool", "us", "args")
    return {name: None if name in differing else value for name, value in record.items()}


@pytest.mark.holds("policy:hidden-is-unknown")
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=policies, person=persons, dry_run=st.sampled_from(["no", "yes", "malformed"]))
async def test_what_is_listed_is_what_can_be_called(
    rules: list[str], person: Person, dry_run: str, tmp_path: Path
) -> None:
    async with opened(tmp_path / f"home-{next(_fresh)}", rules, {person}) as (guard, arrived):
        who = arrived[person]
        listed = {tool.name for tool in await guard.list_tools(who)} - OWN.keys()
        asked = {name: await _ask(guard, who, name, dry_run) for name in NAMES}
        assert {name for name, (said, _) in asked.items() if said is None} == listed
        assert {said for said, _ in asked.values() if said is not None} == {"There is no such tool."}
        assert set(await _permitted(guard, who)) == listed
        own = await read(guard, who, "audit://records?kind=outcome&limit=500")
        if own is not None and not reads_all(guard, who):
            hidden = {call for said, call in asked.values() if said is not None}
            shown = [_told(record) for record in own["records"] if record.get("call") in hidden]
            assert shown, "they are there"
            assert all(record == shown[0] for record in shown), "and one looks like another"


async def _permitted(guard: Guard, who: Principal) -> list[str]:
    """The tools `guard://permissions` speaks of; those listed, where it may not be read."""
    told = await read(guard, who, "guard://permissions")
    if told is None:
        return [tool.name for tool in guard.visible_tools(who)]
    return [row["tool"] for row in told["tools"]]
