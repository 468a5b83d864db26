"""Accounts of people in what goes on as a task: asked for before it begins, and no link in what is kept of it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mcp_guard.build import Guard
from mcp_guard.model.call import Answer, ToolCall
from tests.accounts import RULES, TOOLS, Ledger, browser, link_of, make_home, serving, told
from tests.inside import who
from tests.simulators.authorization_server import AuthorizationServer

STEP = "{{id: write, call: ledger_note, with: {{}}}}"
FLOW = """\
  - name: {name}
    description: Make a note in the caller's ledger, as a task.
    inputSchema: {{{{type: object, properties: {{{{sure: {{{{type: boolean}}}}}}}}}}}}
    workflow: {{{{steps: [{step}]}}}}
"""
WORKFLOWS = (
    TOOLS
    + FLOW.format(name="flow", step=STEP)
    + FLOW.format(name="perhaps", step=STEP.replace("with:", 'when: "{{input.sure}}", with:'))
)


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[Guard]:
    with ExitStack() as stack:
        issuer = stack.enter_context(AuthorizationServer())
        ledger = Ledger(issuer)
        stack.enter_context(ledger.http)
        home = make_home(tmp_path / "home", issuer, ledger, WORKFLOWS)
        rules = (home / "policy" / "policy.csv").read_text()
        hidden = "p, hidden, user:stranger, *, *, list, ledger_note, True, deny, -, not for them\n"
        (home / "policy" / "policy.csv").write_text(rules.replace(RULES, RULES + hidden))
        async with serving(home) as (opened, _):
            yield opened


async def _call(guard: Guard, tool: str, subject: str = "user:me") -> Answer:
    return await guard.call(who(guard, subject), ToolCall(guard.new_call_id(), tool, {"sure": True}))


@pytest.mark.holds("oauth:flow")
async def test_a_workflow_that_needs_an_account_is_refused_before_it_begins(guard: Guard) -> None:
    refused = await _call(guard, "flow")
    assert told(refused)["code"] == "connection_required"
    assert await guard.approvals.parking.tasks.all() == []
    assert "ledger" not in (await _call(guard, "flow", "user:stranger")).text, "they do not know that tool"
    async with browser() as opened:
        assert (await opened.connect(link_of(refused))).status_code == 200
    assert not (await _call(guard, "flow")).is_error


@pytest.mark.holds("oauth:secret")
async def test_no_link_is_in_what_a_task_keeps(guard: Guard) -> None:
    """Others may look at a task, and its message stands in the store as it is."""
    refused = await _call(guard, "perhaps")
    assert told(refused)["code"] == "connection_required", refused.text
    assert "http" not in refused.text
    (task,) = await guard.approvals.parking.tasks.all()
    assert "ledger" in task.message
    await guard.journal.read(who(guard, "user:me"), {"what": "nothing"})
    files = b"".join(file.read_bytes() for file in guard.definition.home.directory.glob("var/guard.db*"))
    assert b"/oauth/connect/" not in files
