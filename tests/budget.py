"""Many processes, one budget: `make budget`, or `python -m tests.budget [CALLS] [PROCESSES]`.

Clients refund 1 over HTTP through several servers of one home at the same moment, against a budget of 10 a day; one of
the servers is restarted once the money begins to flow. What happened is what the payments service's own ledger says.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mcp_guard.demo.home import copy_home, payments_key, seed
from mcp_guard.demo.sandbox import Sandbox, running
from tests.simulators.process import Program, Serving
from tests.simulators.raw import call_body, exchange, request

BUDGET = 10
AT_ONCE = 64
RULES = "refund-small, role:support, role:trusted-agent, acme, call, payments_refund, "


def limit(home: Path, budget: int = BUDGET) -> None:
    """Let everybody of a copy of the example home spend so much a day on small refunds."""
    path = home / "policy" / "policy.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    rows = [line for line in lines if not line.startswith("p, refund-small,")]
    condition = "0 < r.ctx.args.amount and r.ctx.args.amount <= 100"
    rows.insert(0, f"p, {RULES}{condition}, allow, budget={budget}usd/day/all, refunds are limited today\n")
    path.write_text("".join(rows), encoding="utf-8")
    lift(home)


def lift(home: Path) -> None:
    """Take the limits on refunds out of a copy of the example home: for tests of something else."""
    path = home / "tool_manifests" / "payments.yaml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("    limits:")), encoding="utf-8")
    rules = home / "policy" / "policy.csv"
    text = rules.read_text(encoding="utf-8")
    text = text.replace("budget=500usd/day/who", "-").replace("usd_today >= 2000", "usd_today >= 1000000000")
    rules.write_text(text, encoding="utf-8")
    (home / "policy" / "tests" / "limits.yaml").unlink(missing_ok=True)


class Servers:
    """Serving processes of one home, of which one can be exchanged for another."""

    def __init__(self, program: Program, count: int) -> None:
        self._program = program
        self._open: list[AbstractContextManager[Serving]] = []
        self.ports: list[int] = []
        for _ in range(count):
            self._start(len(self.ports))

    def restart(self, place: int) -> None:
        """End one with SIGTERM, as whoever upgrades a server does, and start the next."""
        self._open[place].__exit__(None, None, None)
        self._start(place)

    def close(self) -> None:
        for context in self._open:
            context.__exit__(None, None, None)

    def _start(self, place: int) -> None:
        context = self._program.http()
        serving = context.__enter__()
        self._open[place : place + 1] = [context]
        self.ports[place : place + 1] = [serving.port]


async def race(program: Program, payments: Sandbox, calls: int, processes: int) -> tuple[int, Counter[str]]:
    """How many refunds the ledger has in the end, and what clients were told: `ok`, or the code of the refusal."""
    token = program.token("user:alice", "--client", "agent:local")
    before = len(payments.ledger.entries())
    servers = await asyncio.to_thread(Servers, program, processes)
    told: Counter[str] = Counter()
    numbers = iter(range(calls))

    async def restart() -> None:
        while len(payments.ledger.entries()) - before < 3:
            await asyncio.sleep(0.005)
        await asyncio.to_thread(servers.restart, 0)

    try:
        async with asyncio.timeout(600):
            clients = [_client(servers, token, numbers, told) for _ in range(AT_ONCE)]
            await asyncio.gather(restart(), *clients)
    finally:
        await asyncio.to_thread(servers.close)
    return len(payments.ledger.entries()) - before, told


async def _client(servers: Servers, token: str, numbers: Iterator[int], told: Counter[str]) -> None:
    for number in numbers:
        while (code := await _refund(servers.ports[number % len(servers.ports)], token, number)) is None:
            await asyncio.sleep(0.02)  # its server is being restarted
        told[code] += 1


async def _refund(port: int, token: str, number: int) -> str | None:
    """What a client is told; nothing where nobody answers."""
    body = call_body("payments_refund", {"order_id": "ORD-1002", "amount": 1, "reason": f"race {number}"})
    try:
        answer = await exchange(port, request(port, body, token=token, tool="payments_refund"))
    except OSError:
        return None
    if answer.status != 200:
        return None
    result: Any = answer.json["result"]
    return str(result["structuredContent"]["guard"]["code"]) if result["isError"] else "ok"


def main(calls: int = 1000, processes: int = 4) -> None:
    """The whole race, on a home of its own."""
    secret = payments_key()
    with tempfile.TemporaryDirectory() as folder, running(secret) as payments:
        home = copy_home(Path(folder) / "desk", payments.port)
        seed(home, secret)
        limit(home)
        happened, told = asyncio.run(race(Program(home), payments, calls, processes))
    found = f"{happened} refunds in the ledger; told: {dict(told)}"
    sys.stdout.write(f"{calls} calls, {processes} processes, a restart: {found}\n")
    if happened != BUDGET:
        raise SystemExit(f"a budget of {BUDGET} let {happened} through")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
