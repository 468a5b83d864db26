"""Erasing what stands beside records: an operator's duty to people, carried out in small commits, each on record."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from secrets import token_hex

import orjson

from mcp_guard.admin.operator import checked_reason, operator
from mcp_guard.audit.commitment import committed
from mcp_guard.audit.erasure import STEP_ROWS, Step, Wanted, plan, steps
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import Filters, Query
from mcp_guard.model.errors import LogBroken, StoreUnavailable, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.erasure import overwriting
from mcp_guard.store.errors import SidesChanged
from mcp_guard.store.finder import Record, number_of
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store
from mcp_guard.store.values import Unit

_ATTEMPTS = 10
_WHY = "it is recorded: who asked, and on what ground"


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased: so many `fields` of so many `records`. `noted` are the numbers of the records that say so.

    `open` calls were still running: what they leave when they end is not part of it.
    """

    id: str
    records: int = 0
    fields: int = 0
    open: int = 0
    noted: tuple[int, ...] = ()

    def plus(self, step: Step, *noted: int) -> "Erased":
        records, fields = self.records + len(step.changes), self.fields + step.fields
        return replace(self, records=records, fields=fields, noted=self.noted + noted)


@dataclass(frozen=True, slots=True)
class EraseAdmin:
    """Erasing for an operator with access to the store. No MCP client gets here."""

    store: Store
    journal: Journal
    query: Query
    by: Principal = field(default_factory=operator)

    async def erase(self, wanted: Wanted, reason: str, *, dry_run: bool = False) -> Erased:
        """Remove salts and values from the store's files, while its log goes on; a `dry_run` only counts.

        Whatever is interrupted can be repeated: each commit says what it removed, and what is gone is not counted
        again. Raises `UsageError` where the log knows nothing like it or the reason cannot be shown, and
        `StoreUnavailable` where not all of it, or not every older copy in the write-ahead log, could be removed.
        """
        reason = checked_reason(reason, what="An erasure", hint=_WHY)
        records = await self._records(wanted)
        found = Erased(token_hex(4), open=await self._still_open(records))
        async for numbers in self._steps(records):
            if dry_run:
                found = found.plus(await self._plan(wanted, numbers))
            else:
                found = await self._carry_out(wanted, numbers, reason, found)
        if not dry_run:
            await self.store.forget_old_pages()
        return found

    async def _carry_out(self, wanted: Wanted, numbers: list[int], reason: str, found: Erased) -> Erased:
        for _ in range(_ATTEMPTS):
            step = await self._plan(wanted, numbers)
            if not step.changes:
                return found
            state = {**wanted.as_state(), **step.as_state(), "erasure": found.id, "reason": reason}
            unit = Unit((self.journal.entry("erase", state, self.by),), work=overwriting(step.changes))
            try:
                (stored,) = await self.store.writer.submit(unit)
            except SidesChanged:
                continue  # somebody else erases at the same time; what is left is counted anew
            return found.plus(step, stored.n)
        raise StoreUnavailable("what stands beside the records keeps changing", hint="run the command again")

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

    async def _records(self, wanted: Wanted) -> list[int]:
        """The numbers of the records that are meant, newest first."""
        if wanted.n is not None:
            return [await self._known_field(wanted.n, wanted.name)]
        filters = Filters(actor=wanted.name) if wanted.what == "subject" else Filters(call=wanted.name)
        found: list[int] = []
        before: int | None = None
        while True:
            page = await self.query.page(replace(filters, limit=STEP_ROWS, before=before))
            found += map(number_of, page.records)
            if page.next is None:
                break
            before = page.next
        if not found:
            raise UsageError(f"The log has no record of this {wanted.what}.", hint="`mcp-guard audit query` finds them")
        return found

    async def _known_field(self, n: int, name: str) -> int:
        """`n`, where the record has or had that field. Raises `UsageError`."""
        page = await self.query.page(Filters(after=n - 1, before=n + 1, limit=1))
        if not page.records:
            raise UsageError("There is no such record in the log.", hint="`mcp-guard audit tail` shows their numbers")
        fields = await self._fields(page.records[0])
        if name not in fields:
            known = ", ".join(fields) or "nothing"
            raise UsageError("The record has no such field.", hint=f"beside record {n} there is: {known}")
        return n

    async def _fields(self, record: Record) -> list[str]:
        rows = await self.store.reader.all("sides_in", {"numbers": _json([number_of(record)])})
        beside = [side.field for _, fields in rows if isinstance(fields, bytes) for side in unpack(fields)]
        return sorted({*beside, *committed(record)})


def _json(numbers: list[int]) -> str:
    return orjson.dumps(numbers).decode()
