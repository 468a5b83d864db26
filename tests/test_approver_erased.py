"""Erasing somebody who asked for nothing and only ever decided about what others asked for."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mcp_guard.audit.asked import decisions
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.verify import verify
from mcp_guard.build import open_erasing
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from tests.granted import TEN, edit, ended, granted, guarded, person, records, refund, told, waits
from tests.simulators.process import Program


def _named(home: Path) -> tuple[int, int]:
    """How many decisions and grants name Bob."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        votes = database.execute("SELECT count(*) FROM vote WHERE subject = 'user:bob'").fetchone()[0]
        return votes, database.execute("SELECT count(*) FROM approval_grant WHERE grantor = 'user:bob'").fetchone()[0]


@pytest.mark.holds("erase:decisions")
async def test_who_only_ever_approved_is_named_by_no_row_once_erased(desk: Program, payments: Sandbox) -> None:
    async with guarded(desk.home) as guard:
        await granted(guard, 881, TEN)
        pending = told(await refund(guard, 882))
        await guard.approvals.decide(person(guard, "user:bob"), pending["approval_id"], "approved", "mcp")
        await ended(guard, pending["task_id"])
        assert _named(desk.home) == (2, 1)
        async with open_erasing(load(desk.home, environ={})) as admin:
            would = await admin.erase(Wanted("subject", "user:bob"), "ticket 813", dry_run=True)
            assert (would.decisions, _named(desk.home)) == (3, (2, 1))
            erased = await admin.erase(Wanted("subject", "user:bob"), "ticket 813")
            assert (erased.decisions, erased.tasks, erased.open) == (3, 0, 0)
            assert (await admin.erase(Wanted("subject", "user:bob"), "ticket 813")).decisions == 0
        assert _named(desk.home) == (0, 0)
        assert waits(await refund(guard, 881)), "what they granted is granted by nobody"
    assert [
        record["state"]["decisions"] for record in records(desk.home, "erase") if "decisions" in record["state"]
    ] == [3]
    assert verify(desk.home / "var" / "guard.db", deep=True).ok


@pytest.mark.holds("pseudonyms:in-records")
async def test_under_pseudonyms_no_record_names_who_is_asked(desk: Program) -> None:
    """Rules may name people: whom one asks and to whom it is escalated stands in every decision of theirs."""
    asked = "approvers=role:finance; not=requester; expires=4h"
    edit(desk.home, "policy/policy.csv", asked, "approvers=[role:finance, user:bob]; escalate=user:erin/1h; expires=4h")
    for case in (desk.home / "policy" / "tests").glob("*.yaml"):
        case.unlink()
    config = desk.home / "mcp-guard.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "\naudit: {pseudonyms: true}\n", encoding="utf-8")
    async with guarded(desk.home) as guard:
        assert waits(await refund(guard, 883))
    store = desk.home / "var" / "guard.db"
    with closing(sqlite3.connect(store)) as database:
        text = "\n".join(line for (line,) in database.execute("SELECT line FROM log"))
    assert "escalate" in text
    for name in ("user:alice", "user:bob", "user:erin"):
        assert name not in text, name
    (asking,) = [it for it in decisions(store) if it.decision is not None and it.decision.rule == "refund-large"]
    assert asking.decision is not None
    assert asking.decision.then.approvers == ("role:finance", "user:bob"), "for replay they are who they are"
