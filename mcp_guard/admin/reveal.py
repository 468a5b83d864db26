"""Revealing a value beside the log, or checking one that somebody shows: on record before it is told."""

from dataclasses import dataclass, field

from mcp_guard.admin.operator import operator
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.reveal import Sealed, sealed
from mcp_guard.model.errors import LogBroken, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store
from mcp_guard.store.values import Side


@dataclass(frozen=True, slots=True)
class RevealAdmin:
    """Revealing for an operator with access to the store."""

    store: Store
    journal: Journal
    by: Principal = field(default_factory=operator)

    async def reveal(self, n: int, name: str) -> Sealed:
        """A commitment of record `n` with its salt and value. Raises `UsageError`, `LogBroken`, `StoreUnavailable`."""
        found = await self._sealed(n, name)
        await self.journal.read(self.by, {"what": "value", "n": n, "field": name})
        return found

    async def check(self, n: int, name: str, value: bytes, salt: bytes | None) -> tuple[Sealed, bool]:
        """Whether a value (canonical JSON) is the one committed to, under a shown salt or the stored one.

        Raises like `reveal`; `UsageError` also where no salt is shown and the stored one is gone. Every check is on
        record: with the stored salt it answers guesses.
        """
        found = await self._sealed(n, name)
        good = found.opens_with(value, salt)
        await self.journal.read(self.by, {"what": "value", "n": n, "field": name, "matches": int(good)})
        return found, good

    async def _sealed(self, n: int, name: str) -> Sealed:
        rows = await self.store.reader.all("log_lines_from", {"first": n, "limit": 2})
        lines = {number: line for number, line in rows if isinstance(line, bytes)}
        if n not in lines:
            raise UsageError("There is no such record in the log.", hint="`mcp-guard audit tail` shows their numbers")
        return sealed(n, (lines[n], lines.get(n + 1)), await self._beside(n), name)

    async def _beside(self, n: int) -> tuple[Side, ...]:
        row = await self.store.reader.one("sides_of", {"n": n})
        try:
            return unpack(row[0]) if row is not None and isinstance(row[0], bytes) else ()
        except ValueError:
            raise LogBroken(f"what stands beside record {n} cannot be read") from None
