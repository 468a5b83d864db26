"""kill -9 under load, again and again: `make crash` (`RUNS=50`), or `python -m tests.crash RUNS [SEED]`.

Thirty-two clients refund over HTTP while the server is killed: at a named failpoint, or at any moment. After each
death the next server recovers, and the log is held against what the clients were told and against what the payments
service saw. Receipts of all earlier runs are checked again after each.
"""

import asyncio
import json
import random
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mcp_guard.audit.verify import verify
from mcp_guard.demo.home import copy_home, payments_key, seed
from mcp_guard.demo.sandbox import Sandbox, running
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.merkle import Frontier
from mcp_guard.model.note import Checkpoint, parse_note
from tests.budget import lift
from tests.simulators.process import Program, Serving
from tests.simulators.raw import call_body, read_answer, request

CLIENTS = 32
POINTS = (
    "audit.after-intent",
    "pipeline.before-act",
    "pipeline.after-act",
    "audit.before-outcome",
    "audit.after-outcome",
    "store.before-commit",
    "store.after-commit",
    "store.after-signing",
)
AT_RANDOM = "at random"


@dataclass
class Told:
    """What clients were told, over all runs. `receipts` say by call where its outcome stands."""

    receipts: dict[str, tuple[int, str]] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)
    """Signed roots by size of the log, from the checkpoints in receipts."""
    asked: int = 0

    def __post_init__(self) -> None:
        self.news = asyncio.Event()

    def take(self, receipt: dict[str, Any]) -> None:
        self.receipts[receipt["call"]] = (receipt["n"], receipt["leaf"])
        if receipt["checkpoint"] is not None:
            head = Checkpoint.parse(parse_note(receipt["checkpoint"].encode()).text)
            assert head.size > receipt["n"], "a receipt's checkpoint covers its record"
            self.heads[head.size] = head.root
        self.news.set()


async def crash(program: Program, token: str, point: str, told: Told, chance: random.Random) -> None:
    """One run: serve, load, die. Returns when the process is gone."""
    passages = chance.randint(3, 60) if point.startswith("store.") else chance.randint(5, 120)
    environ = {} if point == AT_RANDOM else {"MCP_GUARD_FAILPOINT": f"{point}:{passages}"}
    with program.http(environ) as serving:
        clients = [asyncio.create_task(_refund_until_it_dies(serving, token, told)) for _ in range(CLIENTS)]
        if point == AT_RANDOM:
            await _kill_at_random(serving, told, chance)
        async with asyncio.timeout(120):
            await asyncio.gather(*clients)
        assert serving.process.wait(timeout=60) == -9, f"the server survived {point}:{passages}"


async def _kill_at_random(serving: Serving, told: Told, chance: random.Random) -> None:
    enough = len(told.receipts) + chance.randint(0, 150)
    while len(told.receipts) < enough:
        told.news.clear()
        await told.news.wait()
    await asyncio.sleep(chance.random() * 0.02)
    serving.process.kill()


async def _refund_until_it_dies(serving: Serving, token: str, told: Told) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    try:
        while True:
            told.asked += 1
            arguments = {"order_id": "ORD-1002", "amount": 1, "reason": f"crash {told.asked}"}
            body = call_body("payments_refund", arguments)
            writer.write(request(serving.port, body, token=token, tool="payments_refund"))
            answer = await read_answer(reader)
            if answer.status == 0:
                return
            result: Any = answer.json["result"]
            receipt = result["_meta"]["mcp-guard/receipt"]
            told.take(receipt)
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


def recover(program: Program) -> None:
    """The next server closes what the dead one left open, and stops in good order."""
    with program.http():
        pass


def check(program: Program, told: Told, payments: Sandbox) -> int:
    """Hold the log against clients and payments service; how many outcomes say `unknown`."""
    path = program.home / "var" / "guard.db"
    report = verify(path)
    assert report.ok, report
    with closing(sqlite3.connect(path)) as database:
        lines = [str(line).encode() for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    records = [json.loads(line) for line in lines]
    assert [record["_n"] for record in records] == list(range(len(records)))
    for call, (n, leaf) in told.receipts.items():
        assert leaf_hash(lines[n]) == leaf, f"acknowledged record {n} is not the one the client holds"
        assert records[n]["call"] == call
    tree = Frontier()
    for line in lines:
        tree = tree.extend([bytes.fromhex(leaf_hash(line))])
        assert told.heads.get(tree.size, tree.root) == tree.root, "a signed head covers what is not in the log"
    _check_calls(records, told, payments)
    return sum(record.get("status") == "unknown" for record in records)


def _check_calls(records: list[dict[str, Any]], told: Told, payments: Sandbox) -> None:
    intents = {record["_n"]: record["call"] for record in records if record["kind"] == "intent"}
    ended = [record["of"] for record in records if "of" in record]
    assert sorted(ended) == sorted(intents), "every intent ends in exactly one outcome"
    outcomes = [record["call"] for record in records if record["kind"] == "outcome"]
    assert len(outcomes) == len(set(outcomes)), "a call has one outcome"
    happened = payments.ledger.keys()
    assert happened <= set(intents.values()), "nothing was done without an earlier durable intent"
    reasons = [entry["reason"] for entry in payments.ledger.entries() if "reason" in entry]
    assert len(reasons) == len(set(reasons)), "nothing was done twice"
    ok = {record["call"] for record in records if record.get("status") == "ok" and record["kind"] == "outcome"}
    assert {call for call in told.receipts if call in ok} <= happened, "what was told as done was done"


async def campaign(points: Sequence[str], number: int, say: Callable[[str], object] = lambda _: None) -> None:
    """A run for each point, all on one home, with `number` as the seed; `say` gets a line for each."""
    chance = random.Random(number)
    secret = payments_key()
    told = Told()
    with tempfile.TemporaryDirectory() as folder, running(secret) as payments:
        home = copy_home(Path(folder) / "desk", payments.port)
        lift(home)
        seed(home, secret)
        program = Program(home)
        token = program.token("user:alice", "--client", "agent:local")
        for run, point in enumerate(points, 1):
            before = len(told.receipts)
            await crash(program, token, point, told, chance)
            recover(program)
            unknown = check(program, told, payments)
            say(
                f"{run:>3} killed {point:<22} acknowledged {len(told.receipts) - before:>5}, "
                f"all {len(told.receipts):>6}, lost 0, unknown so far {unknown}"
            )
    say(f"{len(points)} runs, seed {number}: {len(told.receipts)} acknowledged records, 0 lost")


def main(runs: int = 50, number: int = 1) -> None:
    """Every failpoint and random moments in turn."""
    every = (*POINTS, AT_RANDOM)
    points = [every[run % len(every)] for run in range(runs)]
    asyncio.run(campaign(points, number, partial(print, flush=True)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
