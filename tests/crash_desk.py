"""People at work with one example home that is killed again and again, and what they may rely on."""

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_guard.demo.home import copy_home, seed
from mcp_guard.demo.sandbox import Entry, Ledger, Sandbox
from mcp_guard.store.side import unpack
from tests.simulators.process import Program, Serving
from tests.simulators.raw import call_body, exchange, request

CUSTOMERS = 6
"""How many are taken in at once."""
QUIET_SECONDS = 120
"""Within which every task has to end, as long as people decide."""


@dataclass(frozen=True)
class Happened:
    """Something the payments service did, and when (unix µs). `state` of an account that was opened is `new`."""

    at: int
    state: str
    account: str
    customer: str


class Watched(Ledger):
    """A ledger that remembers the order of things, and which key opened an account."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Happened] = []

    def open_account(self, body: Entry) -> Entry:
        return self._noted(super().open_account(body))

    def change_account(self, account: str, state: str) -> Entry | None:
        changed = super().change_account(account, state)
        return None if changed is None else self._noted(changed)

    def opened_by(self) -> dict[str, str]:
        """The key each account was opened with, by account."""
        with self._lock:
            return {str(entry["account_id"]): key for key, entry in self._by_key.items() if entry is not None}

    def _noted(self, account: Entry) -> Entry:
        now = time.time_ns() // 1000
        self.events.append(Happened(now, account["state"], account["account_id"], account["customer_id"]))
        return account


class Desk:
    """Alice's agents take customers in, Dana decides about them, an operator says what became of a step in doubt."""

    def __init__(self, folder: Path, payments: Sandbox, chance: random.Random) -> None:
        home = copy_home(folder / "desk", payments.port)
        seed(home, payments.key)
        self.program = Program(home)
        self.ledger = payments.ledger = Watched()
        self._payments = payments
        self._chance = chance
        self._alice = self.program.token("user:alice", "--client", "agent:local")
        self._dana = self.program.token("user:dana", "--client", "agent:local")
        self.asked: list[str] = []
        self.answered: dict[str, str] = {}
        """The tasks clients were told of, by customer."""
        self.receipts: dict[str, Mapping[str, Any]] = {}
        """Where the outcomes of calls stand that were answered, by call."""
        self.doubts = 0
        """How often a person had to say what became of a step."""

    async def take_in(self, serving: Serving) -> None:
        """Ask for new customers, all at once, while the payments service may have a bad moment."""
        self._payments.misbehave(self._chance.choice(("ok", "reset", "fail")), 2)
        await asyncio.gather(*(self._onboard(serving) for _ in range(CUSTOMERS)))

    async def see_through(self, serving: Serving) -> bool:
        """Decide and settle until every task has ended: true; false where the server died before."""
        async with asyncio.timeout(QUIET_SECONDS):
            while serving.process.poll() is None:
                if not self.select("SELECT 1 FROM task WHERE status IN ('working', 'input_required')"):
                    return True
                await self._decide(serving)
                await asyncio.to_thread(self._settle)
                await asyncio.sleep(0.01)  # the rows are polled, like a person would
        return False

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the store, as anybody may read them who has its file."""
        with closing(sqlite3.connect(self.program.home / "var" / "guard.db")) as database:
            return list(database.execute(statement))

    def customers(self) -> dict[str, str]:
        """Their states in the house's own database, by id."""
        with closing(sqlite3.connect(self.program.home / "var" / "orders.db")) as database:
            return dict(database.execute("SELECT id, state FROM customers"))

    def outbox(self) -> list[str]:
        """Whom mail was sent to."""
        path = self.program.home / "var" / "outbox.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line)["to"][0] for line in lines]

    async def _onboard(self, serving: Serving) -> None:
        customer = f"CUS-{len(self.asked) + 5000}"
        self.asked.append(customer)
        about = {"customer_id": customer, "name": customer, "email": f"{customer.lower()}@acme.example"}
        told = await self._call(serving, self._alice, "customers_onboard", **about, justification="a test")
        if told is not None and "guard" in told:
            self.answered[customer] = told["guard"]["task_id"]

    async def _decide(self, serving: Serving) -> None:
        """Dana decides about everything that waits, yes more often than no; some of it Alice takes back meanwhile."""
        listed = await self._call(serving, self._dana, "approval_list")
        waiting = [] if listed is None else listed["approvals"]
        await asyncio.gather(*(self._decide_one(serving, one) for one in waiting))

    async def _decide_one(self, serving: Serving, waiting: Mapping[str, Any]) -> None:
        if self._chance.random() < 0.1:
            await self._call(serving, self._alice, "task_cancel", task_id=waiting["task_id"])
            return
        decision = self._chance.choice(("approve", "approve", "deny"))
        await self._call(serving, self._dana, "approval_decide", approval_id=waiting["id"], decision=decision)

    def _settle(self) -> None:
        """A person looks what became of steps in doubt, and says so."""
        about = "SELECT task, call FROM step JOIN task ON task.id = step.task WHERE step.state = 'in_doubt'"
        # Where a tool has a probe the task is still at work, and nobody has to say anything.
        for task, call in self.select(f"{about} AND task.status = 'input_required'"):
            how = "--as-done" if self._has_happened(call) else self._chance.choice(("--retry", "--fail"))
            done = self.program.run("tasks", "resume", task, how)
            assert done.status in (0, 5, 6), f"resume {how}: exit {done.status}: {done.err}"
            self.doubts += 1

    def _has_happened(self, call: str) -> bool:
        """Whether a call had its effect, as the other side shows it. Only those without a key can be in doubt."""
        rows = self.select(f'SELECT line, fields FROM log JOIN side USING (n) WHERE line LIKE \'%"call":"{call}"%\'')
        found = [(json.loads(line), fields) for line, fields in rows]
        [(intent, fields)] = [(record, fields) for record, fields in found if record["kind"] == "intent"]
        [value] = [side.value for side in unpack(fields) if side.field == "args"]
        arguments = json.loads(value or b"{}")
        if intent["tool"] == "customers_add":
            return arguments["customer_id"] in self.customers()
        assert intent["tool"] == "mail_send", intent["tool"]
        return arguments["to"][0] in self.outbox()

    async def _call(self, serving: Serving, token: str, tool: str, **arguments: object) -> dict[str, Any] | None:
        """The structured result of a call; `None` where the server died over it."""
        data = request(serving.port, call_body(tool, arguments), token=token, tool=tool)
        try:
            answer = await exchange(serving.port, data, seconds=60)
        except (OSError, EOFError):
            return None
        if answer.status == 0:
            return None
        result: Any = answer.json["result"]
        receipt = result["_meta"]["mcp-guard/receipt"]
        self.receipts[receipt["call"]] = receipt
        return dict(result["structuredContent"])
