"""What is listed for whoever decides, what an id may be cut to, and what a decision says at once."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.approval.store import MOST_LISTED
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.moves import ApprovalState
from tests.inside import call, opened, who
from tests.simulators.process import Program


def _multiply(home: Path, requester: str, times: int, created_at: int = 1) -> None:
    """Rows such as that many questions of somebody else would leave, asked before everything else."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(approval)")]
        other = {"id": "lower(hex(randomblob(16)))", "requester": f"'{requester}'", "created_at": str(created_at)}
        chosen = ", ".join(other.get(name, name) for name in columns)
        database.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times})"
            f" INSERT INTO approval SELECT {chosen} FROM n, (SELECT * FROM approval"
            " WHERE requester = 'user:alice' LIMIT 1)"
        )
        database.commit()


@pytest.mark.holds("approval:list-fair")
async def test_however_much_others_ask_nobody_is_hidden(desk: Program) -> None:
    async with opened(desk.home) as guard:
        await call(guard, "payments_refund", order_id="ORD-1001", amount=700)
        for number in range(12):
            _multiply(desk.home, f"user:flood{number}", 50)
        bob = who(guard, "user:bob")
        listed = await guard.approvals.for_decider(bob)
        assert len(listed) == MOST_LISTED
        assert {request.requester for request in listed} == {"user:alice", *(f"user:flood{n}" for n in range(12))}
        assert [it.created_at for it in listed] == sorted(it.created_at for it in listed)
        assert len(await guard.approvals.for_decider(bob, "user:flood3")) == 50
        answer = await guard.own_tools.call(
            bob, ToolCall(guard.new_call_id(), "approval_list", {"requester": "user:alice"})
        )
        told: Any = answer.structured["approvals"]
        assert [row["requester"] for row in told] == ["user:alice"]


@pytest.mark.holds("approval:list-fair")
async def test_what_is_over_takes_no_place_in_the_list(desk: Program) -> None:
    async with opened(desk.home) as guard:
        await call(guard, "payments_refund", order_id="ORD-1001", amount=701)
        _multiply(desk.home, "user:flood", MOST_LISTED)
        with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
            database.execute("UPDATE approval SET expires_at = 2 WHERE requester = 'user:flood'")
            database.commit()
        assert [it.requester for it in await guard.approvals.all(ApprovalState.PENDING)] == ["user:alice"]


@pytest.mark.holds("ids:short")
async def test_an_id_may_be_cut_as_long_as_it_names_one(desk: Program) -> None:
    async with opened(desk.home) as guard:
        found: Any = (await call(guard, "payments_refund", order_id="ORD-1001", amount=702)).structured["guard"]
        task, approval = found["task_id"], found["approval_id"]
        assert await guard.tasks.named(task[:6]) == await guard.tasks.named(task) == task
        assert (await guard.approvals.find(approval[:6])).id == approval
        twin = approval[:6] + ("0" if approval[6] != "0" else "1") + approval[7:]
        with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(approval)")]
            chosen = ", ".join(f"'{twin}'" if name == "id" else name for name in columns)
            database.execute(f"INSERT INTO approval SELECT {chosen} FROM approval")
            database.commit()
        with pytest.raises(UsageError, match="Several ids") as several:
            await guard.approvals.find(approval[:6])
        assert set(several.value.hint.removeprefix("say more of it: ").split(", ")) == {approval, twin}
        assert (await guard.approvals.find(approval)).id == approval
        for unlike in ("", "abc", "%", "zzzz", "_" * 8, approval[:3], approval.upper()[:8] + "x"):
            with pytest.raises(UsageError, match="no such"):
                await guard.approvals.find(unlike)
            with pytest.raises(UsageError, match="no such"):
                await guard.tasks.named(unlike)


@pytest.mark.holds("approval:who")
async def test_who_may_not_decide_is_told_what_to_do_about_it(desk: Program) -> None:
    rules_file = desk.home / "policy" / "policy.csv"
    text = rules_file.read_text(encoding="utf-8")
    rules_file.write_text(text.replace("expires=4h", "expires=4h; assurance=oidc"), encoding="utf-8")
    for case in (desk.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    async with opened(desk.home) as guard:
        found: Any = (await call(guard, "payments_refund", order_id="ORD-1001", amount=704)).structured["guard"]
        for somebody, advice in (
            (guard.declare("user:bob", "agent:local"), "--token"),
            (who(guard, "user:bob"), "access token of your issuer"),
            (who(guard, "user:carol"), "approvals show"),
        ):
            with pytest.raises(Refused) as refused:
                await guard.approvals.decide(somebody, found["approval_id"], "approved", "cli")
            assert advice in refused.value.hint
            assert "variations" not in refused.value.hint


@pytest.mark.holds("approval:agreed-is-said")
async def test_a_task_people_agreed_to_waits_for_nobody(desk: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 86_400.0)
    monkeypatch.setattr(runner, "LOOK_ANYWAY_SECONDS", 86_400.0)
    async with opened(desk.home) as guard:
        alice = who(guard, "user:alice")
        found: Any = (await call(guard, "payments_refund", order_id="ORD-1001", amount=703)).structured["guard"]
        before: Any = await guard.tasks.status(alice, found["task_id"])
        assert before["task"]["message"].startswith("waiting for")
        await guard.approvals.decide(who(guard, "user:bob"), found["approval_id"], "approved", "mcp")
        after: Any = await guard.tasks.status(alice, found["task_id"])
        assert (after["task"]["status"], after["task"]["message"]) == (
            "input_required", "agreed to, about to be carried on",
        )  # fmt: skip
