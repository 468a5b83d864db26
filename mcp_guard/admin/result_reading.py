"""Reading kept results over MCP (`result://{id}`) and on the command line.

A result that is not there, one whose time is over and one that is not the reader's are the same (I12).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.admin.records import Decide, Noting
from mcp_guard.audit.journal import Journal
from mcp_guard.generation import InForce, is_shown
from mcp_guard.kit.clock import Clock
from mcp_guard.limits.freeze import Freezes
from mcp_guard.model.decision import scope_decision
from mcp_guard.model.disclosure import Disclosure, denial
from mcp_guard.model.errors import Refused
from mcp_guard.model.kept import uri_of
from mcp_guard.model.principal import Principal
from mcp_guard.results.store import Owner, Result, ResultStore
from mcp_guard.secrets.vault import SealBroken

NO_SUCH = "there is no such result"


@dataclass(frozen=True, slots=True)
class ResultReader:
    """Every read is one `read` record, durable before the answer.

    A result is its owner's as long as its tool is: whoever is frozen, does not see the tool any more or lacks a scope
    of it reads none. Reading counts like calling the tool (`noting`).
    """

    results: ResultStore
    in_force: InForce
    decide: Decide
    freezes: Freezes
    noting: Noting
    journal: Journal
    clock: Clock
    refusals: Disclosure = "why"

    async def read(self, principal: Principal, identifier: str, page: int) -> Mapping[str, object]:
        """`{"part", "page", "pages", "bytes", "next"?}`: the parts of all pages together are the JSON text of the
        result. Raises `Refused`."""
        result = await self._admit(principal, identifier)
        part = None if result is None else await self._part(result, page)
        if result is None or part is None:
            await self.journal.read(principal, {"what": "result", "result": identifier, "effect": "deny", "count": 0})
            raise Refused("policy_denied", NO_SUCH, effect="deny")
        state = {"what": "result", "result": identifier, "call": result.call, "page": page, "count": 1}
        await self.journal.read(principal, state, self.noting(principal, {result.tool}))
        told: dict[str, object] = {"part": part, "page": page, "pages": result.pages, "bytes": result.size}
        return told if page == result.pages else {**told, "next": uri_of(identifier, page + 1)}

    async def sweep(self) -> None:
        """Remove what has expired. Raises `StoreUnavailable`."""
        await self.results.sweep(self.clock.now_us())

    async def _admit(self, principal: Principal, identifier: str) -> Result | None:
        """The result, where it is there and the principal's. Raises `Refused` where they are stopped."""
        result = await self.results.find(identifier, self.clock.now_us())
        if result is None or result.owner != Owner.of(principal):
            return None
        under = self.in_force.current
        entry, version = under.catalog.get(result.tool), under.policy.version
        if entry is None or not is_shown(entry.tool, self.decide(principal, "list", result.tool)):
            return None
        needed = frozenset() if entry.tool.observed else entry.tool.scopes
        frozen = self.freezes.decision(principal, result.tool, version)
        stopped = frozen or scope_decision(needed, principal, version)
        if stopped is None:
            return result
        told = {"what": "result", "result": identifier, "effect": "deny", "rule": stopped.rule, "count": 0}
        await self.journal.read(principal, told)
        raise denial(stopped, self.refusals)

    async def _part(self, result: Result, page: int) -> str | None:
        try:
            return await self.results.page(result, page)
        except SealBroken:
            await self.journal.fault("result", "store")
            return None
