"""Asking the log: records by who, what and when, newest first, narrowed to the rows a reader may see."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from mcp_guard.audit.commitment import committed
from mcp_guard.audit.journal import STANDING
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.decision import Rows
from mcp_guard.model.principal import Principal
from mcp_guard.store.facets import facets, traits
from mcp_guard.store.finder import Finder, Record, number_of
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store
from mcp_guard.store.values import Traits

_FACETS = {"actor": "sub", "tool": "tool", "effect": "effect", "kind": "kind", "task": "task", "status": "status"}
_END = 2**62


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; everything given must hold.

    An outcome also counts as of its intent's actor, tool and effect. `after` and `before` are record numbers, both
    exclusive; `since` and `until` unix microseconds, from `since` on and before `until`.
    """

    actor: str | None = None
    tool: str | None = None
    effect: str | None = None
    kind: str | None = None
    call: str | None = None
    task: str | None = None
    status: str | None = None
    after: int | None = None
    before: int | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 50

    def facets(self) -> tuple[str, ...]:
        named = ((prefix, getattr(self, name)) for name, prefix in _FACETS.items())
        return tuple(f"{prefix}:{value}" for prefix, value in named if value is not None)


@dataclass(frozen=True, slots=True)
class Page:
    """Records newest first; `next` is the `before` of the following page, where there is one."""

    records: list[Record]
    next: int | None = None

    def as_dict(self) -> dict[str, object]:
        found: dict[str, object] = {"records": self.records}
        if self.next is not None:
            found["next"] = self.next
        return found


class Query:
    """Questions to the log of one store. Every method raises `StoreUnavailable` where it cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._finder = Finder(store.reader)

    async def page(self, filters: Filters, *, rows: Rows = "all", principal: Principal | None = None) -> Page:
        """One page. `rows` other than `all` need the principal whose own or whose tenant's records are meant."""
        wanted = filters.facets() + _scope(rows, principal)
        low, high = await self._range(filters)
        if filters.call is not None:
            matching = [
                record for record in await self._of_call(filters.call, wanted) if low <= number_of(record) < high
            ]
            found = matching[::-1][: filters.limit + 1]
        else:
            found = await self._finder.find(wanted, low, high, filters.limit + 1)
        records = found[: filters.limit]
        return Page(records, number_of(records[-1]) if len(found) > filters.limit else None)

    async def call(self, call: str, *, rows: Rows = "all", principal: Principal | None = None) -> list[Record]:
        """Every record of a call, oldest first. `values` holds what is kept beside it, nothing sensitive; `erased`,
        where it is there, names the commitments whose values are gone."""
        records = await self._of_call(call, _scope(rows, principal))
        return [record | await self._beside(record) for record in records]

    async def status(self) -> dict[str, object]:
        """The state of the log: its name, length, head and how many intents wait for their outcome."""
        row = await self._store.reader.one("log_status")
        assert row is not None
        waiting, last, line = row
        found: dict[str, object] = {"origin": self._store.origin, "records": 0, "open_intents": waiting}
        if isinstance(last, int):
            found |= {"records": last + 1, "head": leaf_hash(str(line).encode()), "time": orjson.loads(str(line))["_t"]}
        return found | {"signed": 0, "anchored": "never"} | await self._standing()

    async def _standing(self) -> dict[str, object]:
        """What the last process that served said is in force: `policy`, `tools`, `reload`, `problems`?."""
        row = await self._store.reader.one("meta_get", {"key": STANDING})
        return {} if row is None else {"in_force": orjson.loads(str(row[0]))}

    async def _range(self, filters: Filters) -> tuple[int, int]:
        low = 0 if filters.after is None else filters.after + 1
        high = _END if filters.before is None else filters.before
        if filters.since is not None:
            low = max(low, await self._finder.first_since(filters.since))
        if filters.until is not None:
            high = min(high, await self._finder.first_since(filters.until))
        return low, high

    async def _of_call(self, call: str, wanted: tuple[str, ...]) -> list[Record]:
        records = await self._finder.of_call(call)
        known = {number_of(record): traits(record) for record in records}
        needed = set(wanted)
        return [record for record in records if needed <= set(_facets(record, known))]

    async def _beside(self, record: Record) -> Record:
        row = await self._store.reader.one("sides_of", {"n": number_of(record)})
        sides = unpack(row[0]) if row is not None and isinstance(row[0], bytes) else ()
        values = {side.field: orjson.loads(side.value) for side in sides if side.value is not None}
        erased = [name for name in committed(record) if name not in values]
        return {"values": values, "erased": erased} if erased else {"values": values}


def _scope(rows: Rows, principal: Principal | None) -> tuple[str, ...]:
    if rows == "all":
        return ()
    if principal is None:
        raise ValueError("rows of whom?")
    tenant = f"tenant:{principal.tenant}"
    return (tenant,) if rows == "tenant" else (tenant, f"sub:{principal.subject}")


def _facets(record: Mapping[str, object], known: Mapping[int, Traits]) -> tuple[str, ...]:
    found, of = known[number_of(record)], record.get("of")
    return facets(found.of(known.get(of, Traits())) if isinstance(of, int) else found)
