"""A loaded policy: immutable, versioned, and able to answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from mcp_guard.kit import strict_json
from mcp_guard.model.decision import AccessRequest, Act, Decision
from mcp_guard.model.principal import Principal
from mcp_guard.policy.roles import Roles
from mcp_guard.policy.rows import Row

Texts = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the files said: rows in their order, role links, the tags of every tool, and the version of it all.

    `texts` are the model and the rules as they were written, for whoever has to keep them.
    """

    rows: tuple[Row, ...]
    roles: Roles
    tags: Mapping[str, frozenset[str]]
    version: str
    texts: Texts = field(default=("", ""), repr=False, compare=False)

    @property
    def uses_seen(self) -> bool:
        """Whether any condition asks for `r.ctx.seen`."""
        return any(row.when.uses_seen for row in self.rows)

    @property
    def spent(self) -> frozenset[str]:
        """What conditions ask of `r.ctx.spent`."""
        return frozenset(name for row in self.rows for name in row.when.spent)


class Snapshot(Protocol):
    """One policy at one moment. Safe to share between threads; a reload makes another one."""

    @property
    def version(self) -> str:
        """sha256 (hex) of the model, the rules and the tools' tags."""
        ...

    @property
    def rules(self) -> Rules: ...

    @property
    def uses_seen(self) -> bool:
        """Whether any condition asks for `r.ctx.seen`; where none does, nobody need look."""
        ...

    @property
    def spent(self) -> frozenset[str]:
        """What conditions ask of `r.ctx.spent`; where they ask nothing, nobody need look."""
        ...

    def decide(self, request: AccessRequest) -> Decision:
        """The decision; always one, never an exception."""
        ...

    def decide_all(
        self,
        principal: Principal,
        act: Act,
        tools: Sequence[str],
        now: datetime,
        environment: Mapping[str, object],
        *,
        seen: frozenset[str] | None = None,
    ) -> list[Decision]:
        """`decide` without arguments for every one of `tools`, in their order: what a list is made of."""
        ...

    def fitting(self, principal: Principal, act: Act, tool: str) -> list[Sequence[Row]]:
        """For the subject and then every hop: the rows whose columns fit, in the order of the file, conditions unasked.

        Empty where one of them is nobody, and so denied.
        """
        ...


def version(model: str, rules: str, tools: Mapping[str, Sequence[str]]) -> str:
    """The version of a snapshot: the same files and tags have the same version everywhere."""
    tags = {tool: sorted(set(found)) for tool, found in tools.items()}
    return sha256(strict_json.dumps([model, rules, tags])).hexdigest()
