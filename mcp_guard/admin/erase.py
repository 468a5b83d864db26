"""Erasing what stands beside records: an operator's duty to people, carried out in small commits, each on record."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import NamedTuple

import orjson

from mcp_guard.admin.operator import checked_reason, operator
from mcp_guard.audit.commitment import committed
from mcp_guard.audit.erasure import STEP_ROWS, Step, Wanted, plan, steps
from mcp_guard.audit.holds import Hold, Holds, HoldsChanged, unchanged
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.pseudonyms import Pseudonyms, forgetting, pseudonyms_of
from mcp_guard.audit.query import Filters, Query
from mcp_guard.model.errors import LogBroken, OnHold, StoreUnavailable, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.erasure import (
    ending_connections,
    overwriting,
    overwriting_decisions,
    overwriting_results,
    overwriting_tasks,
)
from mcp_guard.store.errors import SidesChanged
from mcp_guard.store.finder import Record, number_of
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import together
from mcp_guard.store.values import Entry, Unit

_ATTEMPTS = 10
_OF_RESULTS = ("result", "kept")
_WHY = "it is recorded: who asked, and on what ground"


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased: so many `fields` of so many `records`. `noted` are the numbers of the records that say so.

    `names` pseudonyms nobody can read any more. `tasks` ended tasks keep nothing of it any more, `results` kept results
    are gone, and `connections` accounts at upstreams are not connected any more. `decisions` about calls of others, and
    grants, name them no more. `open` calls and tasks were still
    running: what they leave when they end is not part of it.
    """

    id: str
    records: int = 0
    fields: int = 0
    names: int = 0
    tasks: int = 0
    results: int = 0
    connections: int = 0
    decisions: int = 0
    open: int = 0
    noted: tuple[int, ...] = ()

    def plus(self, step: Step, *noted: int) -> "Erased":
        records, fields = self.records + len(step.changes), self.fields + step.fields
        return replace(self, records=records, fields=fields, noted=self.noted + noted)


class Request(NamedTuple):
    """One erasure: what is wanted, the pseudonyms of the person, and what its records say. `id` they have in common.

    `holds` are those in force when it began, none of which concerns it.
    """

    wanted: Wanted
    names: tuple[str, ...]
    said: Mapping[str, object]
    id: str
    holds: Sequence[Hold]


@dataclass(frozen=True, slots=True)
class EraseAdmin:
    """Erasing for an operator with access to the store. No MCP client gets here."""

    store: Store
    journal: Journal
    query: Query
    pseudonyms: Pseudonyms | None = None
    by: Principal = field(default_factory=operator)

    async def erase(self, wanted: Wanted, reason: str, *, dry_run: bool = False) -> Erased:
        """Remove salts and values from the store's files, while its log goes on; a `dry_run` only counts.

        Whatever is interrupted can be repeated: each commit says what it removed, and what is gone is not counted
        again. Raises `OnHold` where a legal hold concerns any of it, `UsageError` where the log knows nothing like it
        or the reason cannot be shown, and `StoreUnavailable` where not all of it, or not every older copy in the
        write-ahead log, could be removed.
        """
        names = await pseudonyms_of(self.store, wanted.name) if wanted.what == "subject" else ()
        holds = await self._held(wanted)
        request = Request(wanted, names, self._said(wanted, names, reason), token_hex(4), holds)
        records = await self._records(wanted, expected=not names)
        ended, running = await self._tasks(wanted)
        kept = await self._kept(wanted)
        found = Erased(request.id, open=await self._still_open(records) + running)
        async for numbers in self._steps(records):
            if dry_run:
                found = found.plus(await self._plan(wanted, numbers))
            else:
                found = await self._carry_out(request, numbers, found)
        (connections, linked), (decisions, deciding) = await self._connections(wanted), await self._decisions(wanted)
        found = replace(found, open=found.open + deciding)
        if dry_run:
            found = replace(found, connections=connections, decisions=decisions)
            return replace(found, names=len(names), tasks=len(ended), results=len(kept))
        if decisions:
            found = await self._unname(request, decisions, found)
        if kept:
            found = await self._drop(request, kept, found)
        for start in range(0, len(ended), STEP_ROWS):
            found = await self._empty(request, ended[start : start + STEP_ROWS], found)
        found = await self._disconnect(request, connections, found) if linked else found
        # Last, for without them what an interruption left could not be found again.
        found = await self._forget(request, found) if names else found
        await self.store.forget_old_pages()
        return found

    async def _held(self, wanted: Wanted) -> Sequence[Hold]:
        """The holds in force. Raises `OnHold` where one of them concerns what is wanted."""
        kept = Holds(self.store)
        holds = await kept.all()
        found = await kept.touching(self.query, holds, _filters(wanted))
        if found is not None:
            raise OnHold(f"A legal hold ({found.id}) keeps this from being erased: {found.reason}")
        return holds

    def _said(self, wanted: Wanted, names: tuple[str, ...], reason: str) -> dict[str, object]:
        """What all records of an erasure say. They name a person as the log may go on naming them, and the reason must
        not undo that. Raises `UsageError`."""
        said = {**wanted.as_state(), "reason": checked_reason(reason, what="An erasure", hint=_WHY)}
        if wanted.what != "subject" or not (names or self.pseudonyms):
            return said
        bare = re.escape(wanted.name.partition(":")[2])
        if re.search(rf"(?<!\w){bare}(?!\w)", reason, re.IGNORECASE):
            raise UsageError("The reason names the person who is to be erased.", hint="name the request instead")
        known_as = names[-1] if names else self.pseudonyms.current(wanted.name) if self.pseudonyms else wanted.name
        return said | {"subject": known_as}

    async def _carry_out(self, request: Request, numbers: list[int], found: Erased) -> Erased:
        for _ in range(_ATTEMPTS):
            step = await self._plan(request.wanted, numbers)
            if not step.changes:
                return found
            work = together(unchanged(request.holds), overwriting(step.changes))
            try:
                (stored,) = await self.store.writer.submit(Unit((self._note(request, step.as_state()),), work=work))
            except HoldsChanged:
                request = request._replace(holds=await self._held(request.wanted))
            except SidesChanged:
                pass  # somebody else erases at the same time; what is left is counted anew
            else:
                return found.plus(step, stored.n)
        raise StoreUnavailable("what stands beside the records keeps changing", hint="run the command again")

    async def _tasks(self, wanted: Wanted) -> tuple[list[str], int]:
        """The ended tasks that keep values of what is wanted, and how many there are that still run."""
        if wanted.what == "field":
            return [], 0
        row: dict[str, str | None] = {"subject": None, "call": None, wanted.what: wanted.name}
        found = await self.store.reader.all("tasks_of", row)
        ended = [str(task) for task, running in found if not running]
        return ended, len(found) - len(ended)

    async def _empty(self, request: Request, tasks: list[str], found: Erased) -> Erased:
        """Remove what ended tasks and their approvals keep."""
        wanted, holds = request.wanted, await self._held(request.wanted)
        note = self._note(request, {"records": 0, "fields": 0, "at": "", "tasks": len(tasks)})
        subject = wanted.name if wanted.what == "subject" else None
        work = together(unchanged(holds), overwriting_tasks(tasks, subject))
        try:
            (stored,) = await self.store.writer.submit(Unit((note,), work=work))
        except (SidesChanged, HoldsChanged):
            raise StoreUnavailable("the tasks changed meanwhile", hint="run the command again") from None
        return replace(found, tasks=found.tasks + len(tasks), noted=(*found.noted, stored.n))

    async def _kept(self, wanted: Wanted) -> list[str]:
        """The kept results of what is wanted. With the result of a record that of its call goes."""
        calls: list[str] = [wanted.name] if wanted.what == "call" else []
        if wanted.n is not None and wanted.name in _OF_RESULTS:
            page = await self.query.page(_only(wanted.n))
            calls = [str(record["call"]) for record in page.records if "call" in record]
        subject = wanted.name if wanted.what == "subject" else None
        row: dict[str, str | None] = {"subject": subject, "calls": orjson.dumps(calls).decode()}
        return [str(identifier) for (identifier,) in await self.store.reader.all("kept_erasable", row)]

    async def _drop(self, request: Request, kept: list[str], found: Erased) -> Erased:
        """Remove kept results."""
        wanted, holds = request.wanted, await self._held(request.wanted)
        note = self._note(request, {"records": 0, "fields": 0, "at": "", "results": len(kept)})
        subject = wanted.name if wanted.what == "subject" else None
        work = together(unchanged(holds), overwriting_results(kept, subject))
        try:
            (stored,) = await self.store.writer.submit(Unit((note,), work=work))
        except (SidesChanged, HoldsChanged):
            raise StoreUnavailable("the kept results changed meanwhile", hint="run the command again") from None
        return replace(found, results=len(kept), noted=(*found.noted, stored.n))

    async def _connections(self, wanted: Wanted) -> tuple[int, bool]:
        """How many accounts at upstreams a subject has connected, and whether there are any, or links to them."""
        if wanted.what != "subject":
            return 0, False
        row = await self.store.reader.one("connections_count", {"subject": wanted.name})
        return (0, False) if row is None else (int(str(row[0])), bool(row[1]))

    async def _decisions(self, wanted: Wanted) -> tuple[int, int]:
        """How many decisions and grants name a subject, and how many of what they decided is not decided yet."""
        if wanted.what != "subject":
            return 0, 0
        row = await self.store.reader.one("decisions_count", {"subject": wanted.name})
        return (0, 0) if row is None else (int(str(row[0])), int(str(row[1])))

    async def _unname(self, request: Request, count: int, found: Erased) -> Erased:
        """Remove the name of a subject beside what they decided about others' calls."""
        note = self._note(request, {"records": 0, "fields": 0, "at": "", "decisions": count})
        work = together(unchanged(await self._held(request.wanted)), overwriting_decisions(request.wanted.name, count))
        try:
            (stored,) = await self.store.writer.submit(Unit((note,), work=work))
        except (SidesChanged, HoldsChanged):
            raise StoreUnavailable("the decisions changed meanwhile", hint="run the command again") from None
        return replace(found, decisions=count, noted=(*found.noted, stored.n))

    async def _disconnect(self, request: Request, count: int, found: Erased) -> Erased:
        """Remove the tokens of a subject, and what they were asked and have not answered."""
        note = self._note(request, {"records": 0, "fields": 0, "at": "", "connections": count})
        work = together(unchanged(await self._held(request.wanted)), ending_connections(request.wanted.name, count))
        try:
            (stored,) = await self.store.writer.submit(Unit((note,), work=work))
        except (SidesChanged, HoldsChanged):
            raise StoreUnavailable("the connections changed meanwhile", hint="run the command again") from None
        return replace(found, connections=count, noted=(*found.noted, stored.n))

    async def _forget(self, request: Request, found: Erased) -> Erased:
        """Remove who is meant by the pseudonyms of a person."""
        count = len(request.names)
        note = self._note(request, {"records": 0, "fields": 0, "at": "", "names": count})
        holds = await self._held(request.wanted)
        work = together(unchanged(holds), forgetting(request.wanted.name, count))
        try:
            (stored,) = await self.store.writer.submit(Unit((note,), work=work))
        except (SidesChanged, HoldsChanged):  # somebody else did, or the person came back at this moment
            raise StoreUnavailable("the person's names changed meanwhile", hint="run the command again") from None
        return replace(found, names=count, noted=(*found.noted, stored.n))

    def _note(self, request: Request, done: Mapping[str, object]) -> Entry:
        return self.journal.entry("erase", {**request.said, **done, "erasure": request.id}, self.by)

    async def _plan(self, wanted: Wanted, numbers: list[int]) -> Step:
        rows = await self.store.reader.all("sides_in", {"numbers": _json(numbers)})
        try:
            return plan(wanted, rows)  # type: ignore[arg-type]  # STRICT columns: integer, blob
        except ValueError:
            raise LogBroken("what stands beside the records cannot be read") from None

    async def _steps(self, records: list[int]) -> AsyncIterator[list[int]]:
        for start in range(0, len(records), STEP_ROWS):
            numbers = _json(records[start : start + STEP_ROWS])
            for step in steps(await self.store.reader.all("sides_sizes", {"numbers": numbers})):  # type: ignore[arg-type]
                yield step

    async def _still_open(self, records: list[int]) -> int:
        return len(await self.store.reader.all("inflight_in", {"numbers": _json(records)}))

    async def _records(self, wanted: Wanted, *, expected: bool) -> list[int]:
        """The numbers of the records that are meant, newest first. Raises `UsageError` where some are `expected`."""
        if wanted.n is not None:
            return [await self._known_field(wanted.n, wanted.name)]
        filters = _filters(wanted)
        found: list[int] = []
        before: int | None = None
        while True:
            page = await self.query.page(replace(filters, limit=STEP_ROWS, before=before))
            found += map(number_of, page.records)
            if page.next is None:
                break
            before = page.next
        if not found and expected:
            await self.store.forget_old_pages()  # an erasure of all there was may have been interrupted before it did
            raise UsageError(f"The log has no record of this {wanted.what}.", hint="`mcp-guard audit query` finds them")
        return found

    async def _known_field(self, n: int, name: str) -> int:
        """`n`, where the record has or had that field. Raises `UsageError`."""
        page = await self.query.page(_only(n))
        if not page.records:
            raise UsageError("There is no such record in the log.", hint="`mcp-guard audit tail` shows their numbers")
        fields = await self._fields(page.records[0])
        if name not in fields:
            known = ", ".join(fields) or "nothing"
            raise UsageError("The record has no such field.", hint=f"beside record {n} there is: {known}")
        return n

    async def _fields(self, record: Record) -> list[str]:
        rows = await self.store.reader.all("sides_in", {"numbers": _json([number_of(record)])})
        try:
            beside = [side.field for _, fields in rows if isinstance(fields, bytes) for side in unpack(fields)]
        except ValueError:
            raise LogBroken("what stands beside the record cannot be read") from None
        return sorted({*beside, *committed(record)})


def _filters(wanted: Wanted) -> Filters:
    """The records that are meant."""
    if wanted.n is not None:
        return _only(wanted.n)
    return Filters(actor=wanted.name) if wanted.what == "subject" else Filters(call=wanted.name)


def _only(n: int) -> Filters:
    return Filters(after=n - 1, before=n + 1, limit=1)


def _json(numbers: list[int]) -> str:
    return orjson.dumps(numbers).decode()
