"""What tests of grants share: refunds that need finance, and a decision of finance that grants more of them."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcp_guard.admin.grants import WantedGrant
from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal

ORDER = "ORD-1001"
HOUR_S, HOUR_US = 3_600, 3_600 * 1_000_000
TEN = WantedGrant(HOUR_S, 10)
SHAPED = WantedGrant(HOUR_S, 10, same_shape=True)


@asynccontextmanager
async def guarded(home: Path) -> AsyncIterator[Guard]:
    async with open_guard(load(home, environ={}), serving=True, verbosity=-1) as guard:
        yield guard


def person(guard: Guard, subject: str, client: str = "agent:local") -> Principal:
    return replace(guard.declare(subject, client), auth="bearer", assurance="token")


async def refund(guard: Guard, amount: float, who: Principal | None = None, /, **more: object) -> Answer:
    call = ToolCall(guard.new_call_id(), "payments_refund", {"order_id": ORDER, "amount": amount, **more})
    return await guard.call(who or person(guard, "user:alice"), call)


def told(answer: Answer) -> dict[str, Any]:
    found: Any = answer.structured.get("guard", {})
    return dict(found)


def waits(answer: Answer) -> bool:
    return told(answer).get("code") == "approval_pending"


def done(answer: Answer) -> bool:
    return not answer.is_error and answer.structured.get("status") == "refunded"


async def ended(guard: Guard, task: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found: Any = await guard.tasks.status(person(guard, "user:alice"), task, 5)
            if found["task"]["status"] in ("completed", "failed", "cancelled"):
                return dict(found["task"])


async def granted(guard: Guard, amount: float, wanted: WantedGrant, **more: object) -> str:
    """Have a refund approved by bob with a grant, and carried out; the grant's id."""
    pending = told(await refund(guard, amount, **more))
    request = await guard.approvals.find(pending["approval_id"])
    bob = person(guard, "user:bob")
    grant = await guard.grants.plan(bob, request, wanted)
    await guard.grants.approve(bob, request, grant, "cli")
    guard.runner.poke()
    assert (await ended(guard, pending["task_id"]))["status"] == "completed"
    return grant.id


def refunds(payments: Sandbox, amount: float) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


def records(home: Path, kind: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [line for line in lines if line["kind"] == kind]


def write(home: Path, *statements: str) -> None:
    """Change the store with SQL, as whoever can write the file can."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def edit(home: Path, file: str, old: str, new: str) -> None:
    path = home / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    for case in (home / "policy" / "tests").glob("*.yaml"):
        case.unlink()


class Shifted:
    """The machine's clock, somewhere else."""

    def __init__(self) -> None:
        self.by_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self.by_us

    def monotonic(self) -> float:
        return time.monotonic()
