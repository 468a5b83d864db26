"""kill -9 among workflows, again and again: `make crash-tasks` (`RUNS=50`), `python -m tests.crash_tasks RUNS [SEED]`.

Alice's agents take customers in while Dana decides about them and the server is killed at a named failpoint. The next
server carries everything on to its end, with people saying what became of a step in doubt. Then database, payments
service, outbox and log are held against each other: every customer is there whole, or not at all.
"""

import asyncio
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from mcp_guard.audit.verify import verify
from mcp_guard.demo.home import copy_home, payments_key, seed
from mcp_guard.demo.sandbox import Sandbox, running
from tests.simulators.process import Program, Serving
from tests.simulators.raw import call_body, exchange, request

CUSTOMERS = 6
"""How many are taken in at once in a run."""
POINTS = (
    "tasks.begun",
    "tasks.parked",
    "approvals.decided",
    "tasks.resuming",
    "tasks.ended",
    "audit.after-intent",
    "pipeline.before-act",
    "pipeline.after-act",
    "audit.before-outcome",
    "audit.after-outcome",
    "store.before-commit",
    "store.after-commit",
)
_ENDED = {"completed", "failed", "cancelled"}


class Desk:
    """The people of one home, and what they were asked to do."""

    def __init__(self, program: Program, payments: Sandbox, chance: random.Random) -> None:
        self.program = program
        self._payments = payments
        self._chance = chance
        self._alice = program.token("user:alice", "--client", "agent:local")
        self._dana = program.token("user:dana", "--client", "agent:local")
        self.asked: list[str] = []
        self.answered: dict[str, str] = {}
        """The tasks clients were told of, by customer."""
        self.doubts = 0
        """How often a person had to say what became of a step."""

    async def crash(self, point: str) -> bool:
        """One run: serve, take customers in, die. Whether the process died of it."""
        passages = self._chance.randint(3, 40) if point.startswith("store.") else self._chance.randint(1, CUSTOMERS)
        self._payments.misbehave(self._chance.choice(("reset", "fail")), 2)
        with self.program.http({"MCP_GUARD_FAILPOINT": f"{point}:{passages}"}) as serving:
            await asyncio.gather(*(self._onboard(serving) for _ in range(CUSTOMERS)))
            while serving.process.poll() is None and await self._decide(serving):
                pass
            return _was_killed(serving)

    async def carry_on(self) -> None:
        """Serve until no task waits for anything."""
        self._payments.misbehave("ok", 0)
        with self.program.http() as serving:
            async with asyncio.timeout(120):
                while waiting := [task for task in self.tasks() if task["status"] not in _ENDED]:
                    await self._decide(serving)
                    for task in waiting:
                        if task["status"] == "input_required":  # where a tool has a probe, nobody has to say
                            self._settle(task["id"])

    def tasks(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.program.run("--json", "tasks", "list").json
        return listed

    def _settle(self, task: str) -> None:
        """A person looks what became of a step in doubt, and says so."""
        for step in self.program.run("--json", "tasks", "show", task).json["steps"]:
            if step["state"] == "in_doubt":
                self.doubts += 1
                not_done = self._chance.choice(("--retry", "--fail"))
                how = "--as-done" if self._happened(step["call"]) else not_done
                done = self.program.run("tasks", "resume", task, how)
                assert done.status == 0, done.err

    def _happened(self, call: str) -> bool:
        """Whether a call had its effect, as the other side shows it. Only those without a key can be in doubt."""
        records = self.program.run("--json", "audit", "query", "--call", call).json["records"]
        [intent] = [record for record in records if record["kind"] == "intent"]
        arguments = self.program.run("--json", "audit", "reveal", str(intent["_n"]), "args").json["value"]
        if intent["tool"] == "customers_add":
            return arguments["customer_id"] in customers(self.program.home)
        assert intent["tool"] == "mail_send"
        return arguments["to"][0] in outbox(self.program.home)

    async def _onboard(self, serving: Serving) -> None:
        customer = f"CUS-{len(self.asked) + 5000}"
        self.asked.append(customer)
        about = {"customer_id": customer, "name": customer, "email": f"{customer.lower()}@acme.example"}
        told = await self._call(serving, self._alice, "customers_onboard", **about, justification="a test")
        if told is not None:
            self.answered[customer] = told["guard"]["task_id"]

    async def _decide(self, serving: Serving) -> bool:
        """Dana decides about everything that waits, yes more often than no. Whether anything is still under way."""
        listed = await self._call(serving, self._dana, "approval_list")
        if listed is None:
            return False
        for request_ in listed["approvals"]:
            decision = self._chance.choice(("approve", "approve", "deny"))
            await self._call(serving, self._dana, "approval_decide", approval_id=request_["id"], decision=decision)
        return any(task["status"] not in _ENDED and not _doubtful(task) for task in self.tasks())

    async def _call(self, serving: Serving, token: str, tool: str, **arguments: object) -> dict[str, Any] | None:
        """The structured result of a call; `None` where the server died over it."""
        try:
            answer = await exchange(
                serving.port, request(serving.port, call_body(tool, arguments), token=token, tool=tool)
            )
        except OSError:
            return None
        if answer.status == 0:
            return None
        result: Any = answer.json["result"]
        return dict(result["structuredContent"])


def _was_killed(serving: Serving) -> bool:
    """Connections of a killed process end a little before it does."""
    try:
        return serving.process.wait(timeout=1) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


def _doubtful(task: dict[str, Any]) -> bool:
    return bool(task["status"] == "input_required" and "in doubt" in str(task.get("message")))


def check(desk: Desk, payments: Sandbox) -> Counter[str]:
    """Hold what happened against what tasks and log say; how many tasks ended how."""
    home = desk.program.home
    assert verify(home / "var" / "guard.db").ok
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        records = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
        tasks = dict(database.execute("SELECT id, status FROM task"))  # the command lists the newest hundred
    intents = sorted(record["_n"] for record in records if record["kind"] == "intent")
    assert sorted(record["of"] for record in records if "of" in record) == intents, "one outcome for every intent"
    assert set(desk.answered.values()) <= set(tasks), "a task a client was told of is there"
    states = customers(home)
    accounts = payments.ledger.accounts()
    opened = Counter(account["customer_id"] for account in accounts)
    mailed = Counter(outbox(home))
    assert max(opened.values(), default=0) <= 1, "no account was opened twice"
    assert max(mailed.values(), default=0) <= 1, "nobody was welcomed twice"
    found = {account["customer_id"]: account["state"] for account in accounts}
    for customer in desk.asked:
        whole = (states.get(customer), found.get(customer))
        assert whole == ("active", "active") or whole in _NOTHING, f"{customer} is there by half: {whole}"
        if customer in desk.answered:
            completed = tasks[desk.answered[customer]] == "completed"
            assert completed == (whole == ("active", "active")), f"{customer}: {tasks[desk.answered[customer]]}"
    return Counter(tasks.values())


_NOTHING = ((None, None), (None, "closed"))


def customers(home: Path) -> dict[str, str]:
    """Their states, by id."""
    with closing(sqlite3.connect(home / "var" / "orders.db")) as database:
        return dict(database.execute("SELECT id, state FROM customers"))


def outbox(home: Path) -> list[str]:
    """Whom mail was sent to."""
    path = home / "var" / "outbox.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line)["to"][0] for line in lines]


async def campaign(points: Sequence[str], number: int, say: Callable[[str], object] = lambda _: None) -> int:
    """A run for each point, all on one home, with `number` as the seed; how many runs ended by the kill."""
    chance = random.Random(number)
    secret = payments_key()
    killed = 0
    with tempfile.TemporaryDirectory() as folder, running(secret) as payments:
        home = copy_home(Path(folder) / "desk", payments.port)
        seed(home, secret)
        desk = Desk(Program(home), payments, chance)
        for run, point in enumerate(points, 1):
            died = await desk.crash(point)
            killed += died
            await desk.carry_on()
            ended = check(desk, payments)
            how = "killed" if died else "passed"
            say(f"{run:>3} {how} {point:<22} tasks {sum(ended.values()):>4}: {dict(ended)}")
    say(
        f"{len(points)} runs, {killed} killed, {desk.doubts} steps in doubt, seed {number}: "
        "every customer whole or not there, nothing twice"
    )
    return killed


def main(runs: int = 50, number: int = 1) -> None:
    """Every failpoint in turn."""
    asyncio.run(campaign([POINTS[run % len(POINTS)] for run in range(runs)], number, partial(print, flush=True)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
