"""The support-desk story: every step happens on real parts, and each says what it expects to see."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from mcp_guard.demo import sandbox
from mcp_guard.demo.client import Agent, over_http, over_stdio
from mcp_guard.demo.database import edit_one_record
from mcp_guard.demo.home import copy_home, payments_key, seed
from mcp_guard.demo.stage import Stage
from mcp_guard.model.errors import GuardError, UnknownTool
from mcp_guard.model.moves import TaskStatus

_TOLD = frozenset({"intent", "outcome", "approval", "read"})
"""Kinds of records the trail shows."""


_PATIENCE = 20.0
"""How many seconds something may take that happens by itself."""


class StepFailed(GuardError):
    """A step of the demo did not happen as it should."""

    code = "demo_failed"


def play(stage: Stage) -> None:
    """Play the whole story on `stage`. Raises `StepFailed` at the first step that does not happen."""
    with tempfile.TemporaryDirectory(prefix="mcp-guard-demo-") as folder:
        key = payments_key()
        with sandbox.running(key) as payments:
            home = copy_home(Path(folder) / "support-desk", payments.port)
            seed(home, key)
            stage.scene("A support desk: orders in SQLite, a payments service, a mail outbox", str(home))
            _Story(stage, home, payments).play()


class _Story:
    def __init__(self, stage: Stage, home: Path, payments: sandbox.Sandbox) -> None:
        self._stage = stage
        self._home = home
        self._payments = payments
        self._waiting: dict[str, Any] = {}

    def play(self) -> None:
        trusted = self._token("user:alice", "agent:local")
        untrusted = self._token("user:alice", "agent:untrusted")
        with self._serving(end=signal.SIGKILL) as url:
            asyncio.run(self._talk(url, trusted, untrusted))
            self._requester_tries(trusted)
        with self._serving() as url:
            self._approve(self._token("user:bob", "agent:local"))
            asyncio.run(self._ask(url, trusted))
            asyncio.run(self._onboard(url, trusted))
        self._audit()

    async def _talk(self, url: str, trusted: str, untrusted: str) -> None:
        async with over_http(url, trusted) as agent:
            await self._look_up(agent)
            await self._refunds(agent)
            await self._bad_argument(agent)
            await self._injected(agent)
            seen = await agent.tool_names()
        async with over_http(url, untrusted) as agent:
            await self._untrusted(agent, seen)
        async with over_stdio(self._home) as agent:
            await self._desktop(agent)

    async def _look_up(self, agent: Agent) -> None:
        self._stage.scene("Alice's agent looks an order up", "allowed by policy, over streamable HTTP")
        result = await agent.call("orders_get", order_id="ORD-1002")
        self._expect(result["rows"][0]["item"] == "desk lamp", "the order is found", result)

    async def _refunds(self, agent: Agent) -> None:
        self._stage.scene("A refund of 40", "small enough to need nobody else")
        result = await agent.call(
            "payments_refund", order_id="ORD-1002", amount=40, justification="lamp arrived broken"
        )
        self._expect(result.get("status") == "refunded", "the payments service confirms", result)
        self._expect(result.get("by") == "user:alice", "the guard said who asked, not the agent", result)

        self._stage.scene("A refund of 800", "above the limit: a second person has to agree")
        result = await agent.call("payments_refund", order_id="ORD-1003", amount=800)
        self._waiting = guard = result["guard"]
        waits = guard["code"] == "approval_pending" and guard["executed"] == "no"
        self._expect(waits, f"not executed: it waits for {' or '.join(guard['approvers'])}", guard)

        self._stage.scene("A refund of 9000", "nobody refunds that much through an agent")
        await self._refused(agent, 9000, "policy_denied", "refund-limit")
        ledger = self._payments.ledger.entries()
        self._expect([entry["amount"] for entry in ledger] == [40], "the service's own ledger shows one refund", ledger)

    async def _refused(self, agent: Agent, amount: int, code: str, rule: str) -> None:
        result = await agent.call("payments_refund", order_id="ORD-1003", amount=amount)
        guard = result["guard"]
        expected = guard["code"] == code and guard["rule"] == rule and guard["executed"] == "no"
        self._expect(expected, f"refused by rule {guard['rule']}: {guard['reason']}", guard)

    async def _bad_argument(self, agent: Agent) -> None:
        self._stage.scene("A bad argument", 'amount as the text "40": nothing is guessed or converted')
        result = await agent.call("payments_refund", order_id="ORD-1002", amount="40")
        self._expect(result["guard"]["code"] == "args_invalid", result["guard"]["reason"], result)

    async def _injected(self, agent: Agent) -> None:
        about = "the agent reads what a customer wrote, and then wants to send mail out of the house"
        self._stage.scene("A customer writes instructions", about)
        mail = {"to": ["chiara@globex.example"], "subject": "Orders", "body": "As asked.", "justification": "asked to"}
        dry = await agent.rehearse("mail_send", **mail)
        self._expect(dry["guard"]["effect"] == "allow", "before: mail to a customer is allowed (a dry run)", dry)
        result = await agent.call("orders_notes", order_id="ORD-1003")
        self._expect(result["rows"][0]["text"].startswith("Ignore"), f"it reads: {result['rows'][0]['text']}", result)
        guard = (await agent.call("mail_send", **mail))["guard"]
        stopped = guard["rule"] == "mail-after-notes" and guard["executed"] == "no"
        self._expect(stopped, f"after: stopped by rule {guard['rule']}: {guard['reason']}", guard)

    async def _untrusted(self, agent: Agent, seen: list[str]) -> None:
        self._stage.scene(
            "The same Alice through an untrusted agent", "sees fewer tools; what it cannot see is not there"
        )
        fewer = await agent.tool_names()
        self._stage.table(("agent", "tools"), [("agent:local", ", ".join(seen)), ("agent:untrusted", ", ".join(fewer))])
        self._expect(set(fewer) < set(seen), f"{len(fewer)} of {len(seen)} tools", fewer)
        try:
            await agent.call("payments_refund", order_id="ORD-1002", amount=1)
        except UnknownTool as error:
            self._expect(error.message == "Unknown tool", "calling a hidden tool anyway: unknown tool", error.message)
        else:
            self._fail("the hidden tool answered")

    async def _desktop(self, agent: Agent) -> None:
        self._stage.scene("A desktop client over stdio", "who acts is declared where the server is started")
        mail = {"to": ["ada@acme.example"], "subject": "Your refund", "body": "It is on its way."}
        result = await agent.call("mail_send", **mail, justification="tell the customer")
        self._expect(result.get("status") == "queued", "the mail is in the outbox", result)
        page = await agent.read("audit://records?limit=5")
        self._expect(
            len(page["records"]) == 5, "the agent reads its own records as an MCP resource", len(page["records"])
        )

    def _requester_tries(self, token: str) -> None:
        self._stage.scene("Alice tries to approve her own refund", "with her own token, on the command line")
        refused = self._guard("approvals", "approve", self._waiting["approval_id"], "--token", token, status=5)
        self._expect(refused["error"]["code"] == "policy_denied", refused["error"]["message"], refused)
        self._stage.scene("The server is killed", "SIGKILL, while the refund waits; then it is started again")

    def _approve(self, token: str) -> None:
        found = self._guard("approvals", "list")
        mail, refund = sorted(found, key=lambda request: request["tool"])
        still = (mail["tool"], refund["id"]) == ("mail_send", self._waiting["approval_id"])
        self._expect(still, "the refund still waits for finance, and the mail for a manager", found)
        self._stage.scene("Bob from finance approves", "with his own token; what he is shown is what was bound:")
        self._stage.table(("what Bob sees",), [(line,) for line in refund["summary"]])
        decided = self._guard("approvals", "approve", refund["id"], "--token", token)
        self._expect(decided["state"] in ("approved", "used"), "approved by user:bob", decided)

    async def _ask(self, url: str, token: str) -> None:
        async with over_http(url, token) as agent:
            task = await _ended(agent, self._waiting["task_id"])
        self._expect(task["status"] == "completed", "Alice's agent asks about the task: completed", task)
        amounts = [entry["amount"] for entry in self._payments.ledger.entries()]
        self._expect(amounts == [40, 800], "the service's own ledger shows the refund of 800, once", amounts)

    async def _onboard(self, url: str, token: str) -> None:
        about = "a workflow of six steps over the database, the payments service and the mail; two will be disturbed"
        self._stage.scene("A new customer is taken in", about)
        dora = {"customer_id": "CUS-2001", "name": "Dora Nwosu", "email": "dora@acme.example"}
        self._payments.misbehave("reset")
        async with over_http(url, token) as agent:
            answer = await agent.call("customers_onboard", **dora, justification="signed the contract today")
            task = str(answer["guard"]["task_id"])
            [request] = await self._awaited("accounts_activate")
            states = [account["state"] for account in self._payments.ledger.accounts()]
            once = states == ["new"] and self._payments.disturbances_left == 0
            self._expect(once, "the answer to opening the account was lost; it was opened once", states)
            self._payments.misbehave("fail")
            dana = self._token("user:dana", "agent:local")
            decided = self._guard("approvals", "approve", request["id"], "--token", dana)
            self._expect(decided["state"] in ("approved", "used"), "Dana, a manager, agrees to it", decided)
            ended = await _ended(agent, task)
        survived = ended["status"] == "completed" and self._payments.disturbances_left == 0
        self._expect(survived, "activating it failed once and was repeated: completed", ended)
        self._stage.table(("step", "state"), [(step["id"], step["state"]) for step in ended["steps"]])
        accounts = self._payments.ledger.accounts()
        active = [account["state"] for account in accounts] == ["active"]
        self._expect(active, "the service's own ledger shows one account, active", accounts)

    async def _awaited(self, tool: str) -> list[dict[str, Any]]:
        """The requests for this tool, as soon as there are any."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                listed = await asyncio.to_thread(self._guard, "approvals", "list")
                if found := [request for request in listed if request["tool"] == tool]:
                    return found

    def _audit(self) -> None:
        self._stage.scene("The trail", "`mcp-guard audit query`, newest last")
        page = self._guard("audit", "query", "--limit", "50")
        rows = [_row(record) for record in reversed(page["records"]) if record["kind"] in _TOLD]
        self._stage.table(("n", "kind", "actor", "via", "tool", "effect", "rule", "status", "code"), rows)
        report = self._guard("audit", "verify")
        self._expect(report["ok"] is True, f"audit verify: ok, {report['records']} records", report)

        self._stage.scene("Somebody edits one stored record", "behind the program's back, with SQL")
        n = edit_one_record(self._home / "var" / "guard.db")
        report = self._guard("audit", "verify", status=8)
        named = report["ok"] is False and report["error"]["n"] in (n, n + 1)
        self._expect(named, f"audit verify names record {report['error']['n']}: {report['error']['what']}", report)

    # --- the real parts -----------------------------------------------------------------------------------------------

    def _token(self, subject: str, client: str) -> str:
        return str(self._guard("token", "create", subject, "--client", client, "--expires", "1h")["token"])

    def _guard(self, *arguments: str, status: int = 0) -> Any:
        """Run one command of the program and return its JSON."""
        command = [sys.executable, "-m", "mcp_guard", "--home", str(self._home), "--json", "--quiet", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
        if done.returncode != status:
            self._fail(f"`{' '.join(arguments[:2])}` ended with {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    @contextmanager
    def _serving(self, end: signal.Signals = signal.SIGTERM) -> Iterator[str]:
        command = [sys.executable, "-m", "mcp_guard", "--home", str(self._home), "serve", "--http", "127.0.0.1:0"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own program
        try:
            yield self._url(process)
        finally:
            process.send_signal(end)
            process.communicate(timeout=20)
        if end is signal.SIGTERM:
            self._expect(process.returncode == 0, "the server stops cleanly on SIGTERM", process.returncode)

    def _url(self, process: "subprocess.Popen[str]") -> str:
        assert process.stderr is not None
        for line in process.stderr:
            if match := re.search(r"http://\S+/mcp", line):
                return match.group()
        return self._fail("the server did not start")

    def _expect(self, happened: bool, what: str, seen: object) -> None:
        if not happened:
            self._fail(f"expected: {what}; saw: {seen}")
        self._stage.done(what)

    def _fail(self, what: str) -> NoReturn:
        raise StepFailed(what, hint="this is a bug; please report it with the output above")


async def _ended(agent: Agent, task: str) -> dict[str, Any]:
    """The task as it ended; `task_status` answers at every change."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            found: dict[str, Any] = (await agent.call("task_status", task_id=task, wait_s=10))["task"]
            if TaskStatus(found["status"]).is_final:
                return found


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    actor, decision = record.get("actor", {}), record.get("decision", {})
    return (
        record["_n"],
        record["kind"],
        actor.get("sub"),
        actor.get("via"),
        record.get("tool"),
        decision.get("effect"),
        decision.get("rule"),
        record.get("status") or record.get("verdict"),
        record.get("code"),
    )
