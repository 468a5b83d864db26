"""Reading the audit log over MCP: decided by policy (`act=audit` on `audit:records`), narrowed to rows, recorded."""

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from mcp_guard.audit.journal import Journal
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import TEXT_FILTERS, Filters, Query
from mcp_guard.model.decision import Act, Decision, Rows
from mcp_guard.model.disclosure import Disclosure, denial
from mcp_guard.model.errors import UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.transaction import Work

RECORDS = "audit:records"
WHOAMI = "guard:whoami"

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

Decide = Callable[[Principal, Act, str], Decision]
Frozen = Callable[[Principal], Decision | None]
Noting = Callable[[Principal, Set[str]], Work | None]
"""What remembers that somebody was shown what these tools returned."""

NUMBER_FILTERS = ("after", "before", "since", "until", "limit")
RECORD_FILTERS = (*TEXT_FILTERS, *NUMBER_FILTERS)
"""What `audit://records` can be asked for."""

_STANDING = frozenset({"policy", "reload"})
"""What those who do not read everything are told of what is in force: nothing of tools, which may be hidden (I6)."""

COMPLETED = tuple(name for name in TEXT_FILTERS if name != "text")
"""The filters for whose values completions are offered."""
MAX_COMPLETIONS = 100
"""MCP 2026-07-28, completion: more are not sent at once."""

_PLACES = {
    "actor": ("actor", "sub"),
    "client": ("actor", "via"),
    "tenant": ("actor", "tenant"),
    "effect": ("decision", "effect"),
    "rule": ("decision", "rule"),
}
_NUMBER = re.compile(r"[0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Completion:
    """Values somebody may mean, newest first."""

    values: list[str]
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class RecordReader:
    """Every read is one decision and one `read` record, durable before the answer. Whoever is `frozen` reads no log.

    Stored results are shown again here, so reading them counts like calling the tool (`noting`).
    """

    decide: Decide
    frozen: Frozen
    noting: Noting
    query: Query
    journal: Journal
    proofs: Proofs
    refusals: Disclosure = "why"

    def may_read(self, principal: Principal) -> bool:
        """Whether the principal may read any records, for listing."""
        return self.decide(principal, "audit", RECORDS).allowed

    def may_see_self(self, principal: Principal) -> bool:
        """Whether the principal may read who they are, for listing."""
        return admission(self.decide, principal, WHOAMI).allowed

    async def page(self, principal: Principal, filters: Mapping[str, str]) -> Mapping[str, object]:
        """`{"records": […], "next"?}`, newest first. Raises `Refused`, `UsageError` for a filter that is not one."""
        rows = await self._admit(principal, "records")
        page = await self.query.page(parse_filters(filters), rows=rows, principal=principal)
        await self.journal.read(principal, {"what": "records", "rows": rows, "count": len(page.records)})
        return page.as_dict()

    async def call(self, principal: Principal, call: str) -> Mapping[str, object]:
        """`{"call", "records": […]}`, oldest first, with the values that may be shown. Raises `Refused`."""
        rows = await self._admit(principal, "call")
        records = await self.query.call(call, rows=rows, principal=principal)
        tools = {str(record["tool"]) for record in records if "tool" in record}
        state = {"what": "call", "rows": rows, "call": call, "count": len(records)}
        await self.journal.read(principal, state, self.noting(principal, tools))
        return {"call": call, "records": records}

    async def status(self, principal: Principal) -> Mapping[str, object]:
        """The state of the log. Raises `Refused`."""
        rows = await self._admit(principal, "status")
        await self.journal.read(principal, {"what": "status"})
        status = dict(await self.query.status())
        if failure := self.journal.health.signing:
            status["signing"] = failure
        in_force = status.get("in_force")
        if isinstance(in_force, dict):  # what is wrong with the files is the operator's to know
            kept = in_force.keys() - {"problems"} if rows == "all" else _STANDING
            status["in_force"] = {name: value for name, value in in_force.items() if name in kept}
        if rows != "all":
            status.pop(
                "anchors", None
            )  # where the log is kept elsewhere, and why that fails, is the operator's to know
        return status

    async def checkpoint(self, principal: Principal) -> Mapping[str, object]:
        """`{"checkpoint", "size"}`: the newest signed note, `null` where the log was never signed. Raises `Refused`."""
        await self._admit(principal, "checkpoint")
        signed = self.proofs.checkpoint()
        await self.journal.read(principal, {"what": "checkpoint", "size": signed.size if signed else 0})
        return {"checkpoint": signed.note.decode() if signed else None, "size": signed.size if signed else 0}

    async def proof(self, principal: Principal, n: int) -> Mapping[str, object] | None:
        """`{"n", "leaf", "proof"}`: that a record stands in the signed log; nothing for one they may not read.

        Only who reads everything gets the stored line with it: it holds more than others are told of a record.
        Raises `Refused`, and `UsageError` while no checkpoint covers the record.
        """
        rows = await self._admit(principal, "proof")
        page = await self.query.page(Filters(after=n - 1, before=n + 1, limit=1), rows=rows, principal=principal)
        found = await self.proofs.inclusion([n]) if page.records else None
        await self.journal.read(principal, {"what": "proof", "rows": rows, "n": n, "count": len(page.records)})
        if found is None:
            return None
        told = found.format() if rows == "all" else found.without_lines()
        return {"n": n, "leaf": found.records[0].leaf.hex(), "proof": told.decode()}

    async def whoami(self, principal: Principal, roles: tuple[str, ...]) -> Mapping[str, object]:
        """The caller as the guard sees them. Raises `Refused`."""
        decision = admission(self.decide, principal, WHOAMI)
        await self.journal.read(principal, {"what": "whoami", "effect": decision.effect.value, "rule": decision.rule})
        if not decision.allowed:
            raise denial(decision, self.refusals)
        return {**principal.as_actor(), "roles": list(roles), "scopes": sorted(principal.scopes)}

    async def complete(self, principal: Principal, name: str, start: str) -> Completion:
        """Values of a filter that begin so, from the newest records the principal may read. Raises `Refused`."""
        rows = await self._admit(principal, "complete")
        if name not in COMPLETED:
            return Completion([])
        page = await self.query.page(Filters(limit=MAX_LIMIT), rows=rows, principal=principal)
        found = dict.fromkeys(value for record in page.records if (value := value_of(record, name)) is not None)
        fitting = [value for value in found if value.startswith(start)]
        await self.journal.read(principal, {"what": "complete", "rows": rows, "count": len(page.records)})
        return Completion(fitting[:MAX_COMPLETIONS], len(fitting) > MAX_COMPLETIONS)

    async def watch(self, principal: Principal) -> None:
        """Record that somebody wants to be told of new records. Raises `Refused`."""
        rows = await self._admit(principal, "watch")
        await self.journal.read(principal, {"what": "watch", "rows": rows})

    def rows(self, principal: Principal) -> Rows | None:
        """The rows the principal may read now, if any; nothing is recorded, so nothing may be shown."""
        decision = self._decision(principal)
        return decision.then.rows or "own" if decision.allowed else None

    def _decision(self, principal: Principal) -> Decision:
        decision = self.decide(principal, "audit", RECORDS)
        return (self.frozen(principal) or decision) if decision.allowed else decision

    async def _admit(self, principal: Principal, what: str) -> Rows:
        decision = self._decision(principal)
        if not decision.allowed:
            await self.journal.read(principal, {"what": what, "effect": "deny", "rule": decision.rule, "count": 0})
            raise denial(decision, self.refusals)
        return decision.then.rows or "own"


def value_of(record: Mapping[str, object], name: str) -> str | None:
    """What a filter of that name finds a record by, where its own line says it; people by their names."""
    part, key = _PLACES.get(name, (None, name))
    within = record if part is None else record.get(part)
    value = within.get(key) if isinstance(within, Mapping) else None
    names = record.get("names")
    if name == "actor" and isinstance(names, Mapping):
        value = names.get(value, value)
    return value if isinstance(value, str) else None


def admission(decide: Decide, principal: Principal, resource: str) -> Decision:
    """Whether a resource of the guard may be read: it has to be listed for the principal, and then called."""
    listing = decide(principal, "list", resource)
    return decide(principal, "call", resource) if listing.allowed else listing


def parse_filters(filters: Mapping[str, str]) -> Filters:
    """Filters as they stand in a URI. Raises `UsageError` naming the one that is wrong, never its value."""
    numbers: dict[str, Any] = {name: _number(name, filters[name]) for name in NUMBER_FILTERS if name in filters}
    limit = numbers.get("limit") or DEFAULT_LIMIT
    if limit > MAX_LIMIT:
        raise UsageError(f"The filter limit is larger than {MAX_LIMIT}.", hint="use `next` for the following page")
    texts: dict[str, Any] = {name: filters[name] for name in TEXT_FILTERS if name in filters}
    return Filters(**texts, **(numbers | {"limit": limit}))


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        hint = "after and before are record numbers (_n), since and until unix microseconds like _t"
        raise UsageError(f"The filter {name} is not a number.", hint=hint)
    return int(text)
