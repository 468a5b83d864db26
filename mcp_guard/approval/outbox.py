"""Messages that are to be sent, at rest: each is a row in one commit with the record it tells of, so none is lost."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.webhooks import STATES, Hook
from mcp_guard.model.moves import ApprovalEvent
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction, Work
from mcp_guard.store.values import Unit


class Taken(Exception):
    """Another process sends this message, or sent it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that waits. `created_at` (unix µs) is when it happened; `owner` the boot id of whoever sends it now."""

    id: str
    hook: str
    event: ApprovalEvent
    approval: str
    created_at: int
    attempts: int
    owner: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with one receiver: how many messages wait, were delivered or given up lately, and what went wrong.

    Times are unix µs. `is_gone`: it answered 410, and is sent nothing any more.
    """

    waiting: int
    delivered: int
    given_up: int
    next_at: int | None
    delivered_at: int | None
    error: str
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Outbox:
    """The tables `notice` and `hook_gone`. Every method but `noting` raises `StoreUnavailable`."""

    store: Store
    hooks: Sequence[Hook]

    def noting(self, event: ApprovalEvent, request: ApprovalRequest, now: int) -> Work | None:
        """Have every receiver told that wants to know, where the event is true once the rows before it are written."""
        wanted = [hook for hook in self.hooks if hook.wants(event, request.tenant)]
        if not wanted:
            return None
        rows: list[Parameters] = [
            {
                "id": f"msg_{os.urandom(16).hex()}",
                "hook": hook.name,
                "address": hook.address,
                "event": event,
                "approval": request.id,
                "state": STATES[event].value,
                "now": now,
            }
            for hook in wanted
        ]

        def work(transaction: Transaction) -> None:
            for row in rows:
                transaction.run("notice_insert", row)

        return work

    def is_due(self, hook: Hook, now: int) -> bool:
        """Whether a message waits for being sent: a point look-up (ADR 6)."""
        return self.store.reader.peek("notice_due", {"hook": hook.name, "now": now, "limit": 1}) is not None

    async def due(self, hook: Hook, now: int, limit: int) -> list[Notice]:
        """Messages to be sent now, the longest overdue first, also those that somebody sends."""
        rows = await self.store.reader.all("notice_due", {"hook": hook.name, "now": now, "limit": limit})
        return [_notice(row) for row in rows]

    async def claim(self, notice: Notice) -> None:
        """Become the one who sends a message. Raises `Taken`."""
        row: Parameters = {"id": notice.id, "before": notice.owner, "boot": self.store.boot}

        def work(transaction: Transaction) -> None:
            if transaction.run("notice_claim", row) != 1:
                raise Taken

        await self._write(work)

    async def delivered(self, notice: Notice, now: int) -> None:
        """Note that it arrived."""
        await self._settle(notice, "delivered", None, now, "")

    async def failed(self, notice: Notice, due_at: int, error: str) -> None:
        """Note that it did not arrive, and when it is sent again."""
        await self._settle(notice, "waiting", due_at, None, error)

    async def give_up(self, notice: Notice, now: int, error: str) -> None:
        """Note that it is not sent again."""
        await self._settle(notice, "given_up", None, now, error)

    async def gone(self, hook: Hook, now: int, error: str) -> None:
        """Note that a receiver wants nothing any more, at this address: what waits for it is given up."""
        row: Parameters = {"hook": hook.name, "address": hook.address, "now": now, "error": error}

        def work(transaction: Transaction) -> None:
            transaction.run("hook_is_gone", row)
            transaction.run("notices_give_up", row)

        await self._write(work)

    async def again(self, name: str, now: int) -> int:
        """Have a receiver told again, also of what was given up; how many messages that is."""
        renewed = 0

        def work(transaction: Transaction) -> None:
            nonlocal renewed
            transaction.run("hook_is_back", {"hook": name})
            renewed = transaction.run("notices_renew", {"hook": name, "now": now})

        await self._write(work)
        return renewed

    async def sweep(self, before: int) -> None:
        """Remove what was settled before then, and what waits for receivers that are not there any more."""
        row: Parameters = {"before": before, "hooks": "\n".join(hook.name for hook in self.hooks)}
        await self._write(lambda transaction: _run(transaction, "notices_sweep", row))

    async def standing(self, hook: Hook) -> Standing:
        row = await self.store.reader.one("notices_standing", {"hook": hook.name, "address": hook.address})
        assert row is not None, "counting gives a row"
        waiting, delivered, given_up, next_at, delivered_at, error, is_gone = row
        return Standing(
            int(str(waiting)),
            int(str(delivered)),
            int(str(given_up)),
            None if next_at is None else int(str(next_at)),
            None if delivered_at is None else int(str(delivered_at)),
            str(error),
            bool(is_gone),
        )

    async def _settle(self, notice: Notice, state: str, due_at: int | None, settled_at: int | None, error: str) -> None:
        row: Parameters = {
            "id": notice.id,
            "boot": self.store.boot,
            "state": state,
            "attempts": notice.attempts + 1,
            "due_at": due_at,
            "settled_at": settled_at,
            "error": error,
        }
        await self._write(lambda transaction: _run(transaction, "notice_settle", row))

    async def _write(self, work: Work) -> None:
        await self.store.writer.submit(Unit((), work=work))


def _run(transaction: Transaction, name: str, row: Parameters) -> None:
    transaction.run(name, row)


def _notice(row: Row) -> Notice:
    return Notice(*row)  # type: ignore[arg-type]  # the table is STRICT: the types are as declared
