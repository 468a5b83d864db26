"""What calls are governed by at one moment: tools, policy, people and connectors, read and checked as a whole.

A reload makes another generation and puts it in force by one assignment. A call keeps the generation it began with, so
nothing is ever decided half by the old and half by the new.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from mcp_guard.connect.connector import Connector
from mcp_guard.identity.directory import Directory
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.decision import AccessRequest, Act, Decision
from mcp_guard.model.oauth import OAuthSpec
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import PRIMITIVES, TOOLS, CallStep, Primitive, Tool, WorkflowSpec
from mcp_guard.policy.snapshot import Snapshot

if TYPE_CHECKING:
    from mcp_guard.limits.seen import Seen


Spent = Callable[[Principal, Collection[str]], Mapping[str, int | float]]
"""What somebody spent, by `UNIT_today` and `UNIT_month` (`limits.Limits.spent`)."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Immutable. `environment` is `r.ctx.env`; `connectors` holds one for every tool of the catalog."""

    catalog: Catalog
    policy: Snapshot
    directory: Directory
    environment: Mapping[str, object]
    connectors: Mapping[str, Connector]

    def seen_by(self, principal: Principal, seen: "Seen") -> frozenset[str] | None:
        """What decisions about `principal` need to know of `seen`: nothing where the policy never asks for it.

        Raises `StoreUnavailable`.
        """
        return seen.by(principal) if self.policy.uses_seen else None

    def spent_by(self, principal: Principal, act: Act, spent: Spent) -> Mapping[str, int | float] | None:
        """What a decision needs to know of what `principal` spent: nothing where the policy never asks for it.

        Raises `StoreUnavailable`.
        """
        names = self.policy.spent
        return spent(principal, names) if names and act == "call" else None

    def decide(
        self,
        principal: Principal,
        act: Act,
        name: str,
        now: datetime,
        arguments: Mapping[str, object] | None = None,
        *,
        seen: frozenset[str] | None = None,
        spent: Mapping[str, int | float] | None = None,
    ) -> Decision:
        """What the policy of this generation says of one act. `seen` is needed where the policy `uses_seen`."""
        return self.policy.decide(self.question(principal, act, name, now, arguments, seen=seen, spent=spent))

    def question(
        self,
        principal: Principal,
        act: Act,
        name: str,
        now: datetime,
        arguments: Mapping[str, object] | None = None,
        *,
        seen: frozenset[str] | None = None,
        spent: Mapping[str, int | float] | None = None,
    ) -> AccessRequest:
        """One act as policy is asked about it."""
        return AccessRequest(principal, act, name, now, arguments, self.environment, seen, spent)

    def listing(
        self,
        principal: Principal,
        now: datetime,
        seen: frozenset[str] | None = None,
        of: Collection[Primitive] = PRIMITIVES,
    ) -> list[tuple[Tool, Decision]]:
        """Everything of some kinds by name, each with the decision whether `principal` may see it."""
        names = self.catalog.of(*of)
        decisions = self.policy.decide_all(principal, "list", names, now, self.environment, seen=seen)
        return list(zip((self.catalog[name].tool for name in names), decisions, strict=True))

    def accounts(
        self, principal: Principal, tool: Tool, now: datetime, seen: frozenset[str] | None = None
    ) -> Sequence[OAuthSpec]:
        """The accounts that a call of a tool needs; of a workflow those of the steps that are taken in any case, as far
        as `principal` is shown their tools."""
        if not isinstance(tool.connector, WorkflowSpec):
            return [tool.oauth] if tool.oauth is not None else []
        steps = [step for step in tool.connector.steps if isinstance(step, CallStep) and step.when is None]
        found = [entry.tool for step in steps if (entry := self.catalog.get(step.tool)) is not None]
        return [
            one.oauth
            for one in found
            if one.oauth is not None and is_shown(one, self.decide(principal, "list", one.name, now, seen=seen))
        ]

    def visible(self, principal: Principal, now: datetime, seen: frozenset[str] | None = None) -> Sequence[Tool]:
        """The tools `principal` sees, by name: exactly those a call does not answer as unknown."""
        listing = self.listing(principal, now, seen, TOOLS)
        return [tool for tool, decision in listing if is_shown(tool, decision)]

    def as_of_now(self, principal: Principal) -> Principal | None:
        """A principal that was kept, as they are known now: what was taken from them meanwhile is gone. `None` for
        somebody who belongs to another tenant by now: nothing of this one is there for them (I12)."""
        known = self.directory.profiles.get(principal.subject)
        if known is None:
            return principal if principal.auth == "oidc" else replace(principal, scopes=frozenset(), attributes={})
        if known.tenant not in (None, principal.tenant):
            return None
        return replace(principal, scopes=principal.scopes & known.scopes, attributes=known.attributes)


def is_shown(tool: Tool, listing: Decision) -> bool:
    """Whether a tool is shown to whom policy said this of listing it: an observed one is, whatever it said."""
    return listing.allowed or tool.observed


class InForce:
    """Holds the generation in force. Replaced on the event loop's thread only, where every call takes it up."""

    __slots__ = ("current",)

    def __init__(self, generation: Generation) -> None:
        self.current = generation
