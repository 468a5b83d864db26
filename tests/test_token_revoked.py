"""A token that is revoked while what was asked for with it still waits."""

from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.admin.tokens import Wish
from mcp_guard.build import Guard, open_tokens
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import ToolCall
from tests.inside import ended, opened, records, who
from tests.simulators.process import Program


async def _token(guard: Guard, home: Path) -> tuple[str, str]:
    async with open_tokens(load(home, environ={}), guard.definition.directory) as admin:
        text, record = await admin.create(Wish("user:alice", "agent:local", None, None, "8h"))
    return text, record.id


async def _revoke(guard: Guard, home: Path, identifier: str) -> None:
    async with open_tokens(load(home, environ={}), guard.definition.directory) as admin:
        await admin.revoke(identifier)


def _refunds(payments: Sandbox, amount: float) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


@pytest.mark.holds("approval:token-revoked")
@pytest.mark.parametrize("revoked", [True, False])
async def test_what_was_asked_for_with_a_token_is_not_done_once_it_is_revoked(
    desk: Program, payments: Sandbox, revoked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another token of the same person, made later, changes nothing about it."""
    monkeypatch.setattr(runner, "LOOK_SECONDS", 86_400.0)
    monkeypatch.setattr(runner, "LOOK_ANYWAY_SECONDS", 86_400.0)
    before = _refunds(payments, 778)
    async with opened(desk.home) as guard:
        text, identifier = await _token(guard, desk.home)
        alice = await guard.authenticator.authenticate(text)
        arguments = {"order_id": "ORD-1001", "amount": 778}
        answer = await guard.call(alice, ToolCall(guard.new_call_id(), "payments_refund", arguments))
        pending: Any = answer.structured["guard"]
        assert pending["code"] == "approval_pending", answer.text
        await guard.approvals.decide(who(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
        await _token(guard, desk.home)
        if revoked:
            await _revoke(guard, desk.home, identifier)
        guard.runner.poke()
        task = await ended(guard, pending["task_id"])
    assert identifier not in str(records(desk.home, "outcome")), "ids of tokens are for who runs the home"
    if not revoked:
        assert task["status"] == "completed", task
        assert _refunds(payments, 778) == before + 1
        return
    told = task["result"]["guard"]
    assert (told["code"], told["rule"], told["executed"]) == ("policy_denied", "guard:token", "no")
    assert _refunds(payments, 778) == before
    last = records(desk.home, "outcome")[-1]
    assert (last["status"], last["decision"]["rule"], last["executed"]) == ("refused", "guard:token", "no")
