"""Reading the audit log over MCP: decided by policy (`act=audit` on `audit:records`), narrowed to rows, recorded."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcp_guard.audit.journal import INPUTS, Journal
from mcp_guard.audit.listings import WITHHOLDING
from mcp_guard.audit.query import Filters, Query
from mcp_guard.model.codes import Code
from mcp_guard.model.decision import NO_SUCH_TOOL, RULE_DEFAULT, Act, Decision, Rows
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.principal import Principal

RECORDS = "audit:records"
WHOAMI = "guard:whoami"

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

Decide = Callable[[Principal, Act, str], Decision]
Frozen = Callable[[Principal], Decision | None]

_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class RecordReader:
    """Every read is one decision and one `read` record, durable before the answer. Whoever is `frozen` reads no log."""

    decide: Decide
    frozen: Frozen
    query: Query
    journal: Journal

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
        return page.as_dict() if rows == "all" else page.as_dict() | {"records": list(map(_as_told, page.records))}

    async def call(self, principal: Principal, call: str) -> Mapping[str, object]:
        """`{"call", "records": […]}`, oldest first, with the values that may be shown. Raises `Refused`."""
        rows = await self._admit(principal, "call")
        records = await self.query.call(call, rows=rows, principal=principal)
        await self.journal.read(principal, {"what": "call", "rows": rows, "call": call, "count": len(records)})
        return {"call": call, "records": records if rows == "all" else list(map(_as_told, records))}

    async def status(self, principal: Principal) -> Mapping[str, object]:
        """The state of the log. Raises `Refused`."""
        await self._admit(principal, "status")
        await self.journal.read(principal, {"what": "status"})
        status = dict(await self.query.status())
        in_force = status.get("in_force")
        if isinstance(in_force, dict):  # what is wrong with the files is the operator's to know
            status["in_force"] = {name: value for name, value in in_force.items() if name != "problems"}
        return status

    async def whoami(self, principal: Principal, roles: tuple[str, ...]) -> Mapping[str, object]:
        """The caller as the guard sees them. Raises `Refused`."""
        decision = admission(self.decide, principal, WHOAMI)
        await self.journal.read(principal, {"what": "whoami", "effect": decision.effect.value, "rule": decision.rule})
        if not decision.allowed:
            raise Refused("policy_denied", decision.reason, rule=decision.rule, effect="deny")
        return {**principal.as_actor(), "roles": list(roles), "scopes": sorted(principal.scopes)}

    async def _admit(self, principal: Principal, what: str) -> Rows:
        decision = self.decide(principal, "audit", RECORDS)
        stopped = self.frozen(principal) if decision.allowed else None
        if stopped is not None:
            decision = stopped
        if not decision.allowed:
            await self.journal.read(principal, {"what": what, "effect": "deny", "rule": decision.rule, "count": 0})
            code: Code = "policy_denied" if stopped is None else "frozen"
            raise Refused(code, decision.reason, rule=decision.rule, effect="deny")
        return decision.then.rows or "own"


def _as_told(record: Mapping[str, object]) -> Mapping[str, object]:
    """A record as its own caller may see it: nothing tells whether there are tools that are hidden from them (I6), or
    what else than the call a decision depended on.

    Only a call that found no tool has neither a fingerprint nor an intent. The stored line keeps everything for those
    who read all.
    """
    record = _without_inputs(record)
    state = record.get("state")
    if record.get("kind") == "read" and isinstance(state, dict):
        return {**record, "state": {name: value for name, value in state.items() if name not in WITHHOLDING}}
    if record.get("kind") != "outcome" or "fp" in record or "of" in record:
        return record
    decision = record.get("decision")
    policy = decision.get("policy") if isinstance(decision, dict) else None
    return {**record, "decision": {"effect": "deny", "rule": RULE_DEFAULT, "reason": NO_SUCH_TOOL, "policy": policy}}


def _without_inputs(record: Mapping[str, object]) -> Mapping[str, object]:
    found = {name: value for name, value in record.items() if name != INPUTS}
    values = record.get("values")
    if isinstance(values, dict):
        found["values"] = {name: value for name, value in values.items() if name != INPUTS}
    return found


def admission(decide: Decide, principal: Principal, resource: str) -> Decision:
    """Whether a resource of the guard may be read: it has to be listed for the principal, and then called."""
    listing = decide(principal, "list", resource)
    return decide(principal, "call", resource) if listing.allowed else listing


def parse_filters(filters: Mapping[str, str]) -> Filters:
    """Filters as they stand in a URI. Raises `UsageError` naming the one that is wrong, never its value."""
    numbers: dict[str, int | None] = {}
    for name in ("after", "before", "limit"):
        text = filters.get(name)
        if text is not None and not _NUMBER.fullmatch(text):
            raise UsageError(f"The filter {name} is not a number.", hint="after and before are record numbers (_n)")
        numbers[name] = None if text is None else int(text)
    limit = numbers["limit"] or DEFAULT_LIMIT
    if limit > MAX_LIMIT:
        raise UsageError(f"The filter limit is larger than {MAX_LIMIT}.", hint="use `next` for the following page")
    return Filters(
        actor=filters.get("actor"),
        tool=filters.get("tool"),
        effect=filters.get("effect"),
        kind=filters.get("kind"),
        call=filters.get("call"),
        task=filters.get("task"),
        after=numbers["after"],
        before=numbers["before"],
        limit=limit,
    )
