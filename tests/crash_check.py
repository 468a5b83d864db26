"""What has to be true of a desk after any crash, once all its tasks have ended: I1 to I5, by what others saw."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcp_guard.audit.verify import verify
from mcp_guard.model.chain import leaf_hash
from tests.crash_desk import Desk

Record = dict[str, Any]

_TOOLS = {"new": "accounts_open", "active": "accounts_activate", "closed": "accounts_close"}
_NOTHING = ((None, None), (None, "closed"))
_WHOLE = ("active", "active")


@dataclass(frozen=True)
class _Log:
    lines: list[bytes]
    records: list[Record]

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record["kind"] == kind]


def violations(desk: Desk) -> list[str]:
    """What is not as it has to be; nothing where all is well."""
    lines = [str(line).encode() for (line,) in desk.select("SELECT line FROM log ORDER BY n")]
    log = _Log(lines, [json.loads(line) for line in lines])
    tasks = {str(identifier): str(status) for identifier, status in desk.select("SELECT id, status FROM task")}
    found = [*_recorded_before(desk, log), *_never_twice(desk), *_nothing_lost(desk, log, tasks)]
    return [*found, *_as_approved(desk, log), *_one_outcome(log), *_whole_or_not_there(desk, tasks)]


def _recorded_before(desk: Desk, log: _Log) -> Iterator[str]:
    """I1: nothing happened at the payments service without an earlier durable intent."""
    tasks = _tasks_by_account(desk)
    begun: dict[tuple[str, str], int] = {}
    for record in log.of("intent"):
        if "task" in record:
            begun.setdefault((record["task"], record["tool"]), record["_t"])
    for event in desk.ledger.events:
        intent = begun.get((tasks.get(event.account, ""), _TOOLS[event.state]))
        if intent is None or intent > event.at:
            yield f"I1: {event.account} became {event.state} without an earlier intent"


def _never_twice(desk: Desk) -> Iterator[str]:
    """I2: nothing that must not be repeated was."""
    opened = Counter(event.customer for event in desk.ledger.events if event.state == "new")
    for what, counts in (("opened an account for", opened), ("welcomed", Counter(desk.outbox()))):
        for whom, times in counts.items():
            if times > 1:
                yield f"I2: {what} {whom} {times} times"


def _nothing_lost(desk: Desk, log: _Log, tasks: dict[str, str]) -> Iterator[str]:
    """I3: the chain verifies, and holds whatever anybody was told."""
    report = verify(desk.program.home / "var" / "guard.db")
    if not report.ok:
        yield f"I3: the log does not verify: {report}"
    for call, receipt in desk.receipts.items():
        n = receipt["n"]
        if n >= len(log.lines) or leaf_hash(log.lines[n]) != receipt["leaf"] or log.records[n]["call"] != call:
            yield f"I3: record {n} is not the one whoever made call {call} holds a receipt for"
    for customer in desk.answered.keys() - {name for name, task in desk.answered.items() if task in tasks}:
        yield f"I3: the task {customer} was told of is not there"


def _as_approved(desk: Desk, log: _Log) -> Iterator[str]:
    """I4: what people decide about happened only after Dana, and nobody else, agreed; an approval is used once."""
    agreed: dict[tuple[str, str], Record] = {}
    for record in log.of("approval"):
        if record["verdict"] != "approved":
            continue
        if (record["task"], record["step"]) in agreed:
            yield f"I4: {record['step']} of task {record['task']} was approved twice"
        if record["actor"]["sub"] != "user:dana":
            yield f"I4: {record['actor']['sub']} approved"
        agreed[record["task"], record["step"]] = record
    tasks = _tasks_by_account(desk)
    for event in desk.ledger.events:
        decision = agreed.get((tasks.get(event.account, ""), "active"))
        if event.state == "active" and (decision is None or decision["_t"] > event.at):
            yield f"I4: {event.account} became active without an earlier approval"
    used = {(task, step) for task, step in desk.select("SELECT task, step FROM approval WHERE state = 'used'")}
    if not used <= agreed.keys():
        yield "I4: an approval was used that nobody gave"


def _one_outcome(log: _Log) -> Iterator[str]:
    """I5: every intent ends in one outcome, and a call has one."""
    intents = Counter(record["_n"] for record in log.of("intent"))
    if intents != Counter(record["of"] for record in log.records if "of" in record):
        yield "I5: an intent without an outcome, or with several"
    calls = Counter(record["call"] for record in log.of("outcome"))
    for call, times in calls.items():
        if times > 1:
            yield f"I5: call {call} has {times} outcomes"


def _whole_or_not_there(desk: Desk, tasks: dict[str, str]) -> Iterator[str]:
    """A workflow is done or undone: database and payments service agree, and the task says the same."""
    states = desk.customers()
    accounts = {account["customer_id"]: account["state"] for account in desk.ledger.accounts()}
    for customer in desk.asked:
        found = (states.get(customer), accounts.get(customer))
        if found not in (*_NOTHING, _WHOLE):
            yield f"{customer} is there by half: {found}"
        task = tasks.get(desk.answered.get(customer, ""))
        if task is not None and (task == "completed") != (found == _WHOLE):
            yield f"{customer} is {found}, but its task {task}"


def _tasks_by_account(desk: Desk) -> dict[str, str]:
    """Which task opened an account, by the idempotency key it was opened with."""
    return {account: key.partition("-")[0] for account, key in desk.ledger.opened_by().items()}
