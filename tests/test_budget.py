"""A budget of N admits exactly N, over parallel calls, processes, restarts and kills (I9)."""

import json
import os
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from mcp_guard.demo.sandbox import Sandbox
from tests.budget import BUDGET, limit, race
from tests.simulators.process import Program, Serving
from tests.simulators.raw import Answer, call_body, exchange, request


@pytest.mark.holds("limits:exact")
async def test_processes_share_a_budget_over_a_restart(desk: Program, payments: Sandbox) -> None:
    """Smaller than `make budget`, which is a thousand calls over four processes."""
    limit(desk.home)
    happened, told = await race(desk, payments, calls=120, processes=2)
    assert happened == BUDGET
    assert told["budget_exhausted"] == 120 - told["ok"]
    assert told["ok"] <= BUDGET


async def _refund(serving: Serving, token: str, amount: int) -> Answer:
    body = call_body("payments_refund", {"order_id": "ORD-1002", "amount": amount})
    return await exchange(serving.port, request(serving.port, body, token=token, tool="payments_refund"))


def _spent(desk: Program) -> int:
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        found = database.execute("SELECT used FROM counter WHERE key = ' all   usd day'").fetchone()
    return 0 if found is None else int(found[0])


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("limits:exact", "limits:settled")
@pytest.mark.parametrize(
    ("point", "charged"),
    [
        ("store.before-commit:3", 0),
        ("audit.after-intent", 6),
        ("pipeline.before-act", 6),
        ("pipeline.after-act", 6),
        ("audit.before-outcome", 6),
        ("audit.after-outcome", 6),
    ],
)
async def test_a_kill_neither_loses_a_reservation_nor_counts_it_twice(
    point: str, charged: int, desk: Program, payments: Sandbox
) -> None:
    """What was reserved stays reserved where nobody knows; what never was reserved is not."""
    limit(desk.home)
    token = desk.token("user:alice", "--client", "agent:local")
    before = len(payments.ledger.entries())
    with desk.http({"MCP_GUARD_FAILPOINT": point}) as serving:
        assert (await _refund(serving, token, 6)).status == 0
        assert serving.process.wait(timeout=60) != 0
    assert _spent(desk) == charged * 1_000_000
    with desk.http() as serving:
        result: Any = (await _refund(serving, token, 6)).json["result"]
        assert result["isError"] is (charged > 0), result
        result = (await _refund(serving, token, 4)).json["result"]
        assert not result["isError"], result
    amounts = [entry["amount"] for entry in payments.ledger.entries()[before:]]
    assert sum(amounts) <= BUDGET
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        records = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    refused = [record for record in records if record.get("code") == "budget_exhausted"]
    assert len(refused) == (1 if charged else 0)
