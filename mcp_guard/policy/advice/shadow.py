"""Rows that can never decide anything, because another row always decides first."""

from mcp_guard.model.decision import Effect, Obligations
from mcp_guard.model.problem import Problem
from mcp_guard.policy import names
from mcp_guard.policy.advice import Subject
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules

_STRICTNESS = (Effect.ALLOW, Effect.REQUIRE_APPROVAL, Effect.DENY)
_NOTHING = Obligations()


def check(subject: Subject) -> list[Problem]:
    """A warning for every row that an unconditional row covers: a stricter one anywhere, an equal one above it."""
    shadows = _Shadows(subject.rules)
    found: list[Problem] = []
    for row in subject.rules.rows:
        other = shadows.over(row)
        if other is not None:
            message = f"never decides: {other.id} in line {other.line} applies to all of this and comes first"
            found.append(subject.problem(row, "id", "row_shadowed", message, "delete the row, or narrow the other one"))
    return found


class _Shadows:
    """The unconditional rows, by the columns that have to take in those of another row."""

    def __init__(self, rules: Rules) -> None:
        self._roles, self._tags = rules.roles, rules.tags
        self._rows: dict[tuple[str, str, str], list[Row]] = {}
        self._tools: dict[str, frozenset[str]] = {}
        for row in rules.rows:
            if row.when.constant:
                self._rows.setdefault((row.tenant, row.act, row.who), []).append(row)

    def over(self, row: Row) -> Row | None:
        """The first row that keeps `row` from ever deciding."""
        keys = [
            (tenant, act, who)
            for tenant in {row.tenant, names.EVERY}
            for act in {row.act, names.EVERY}
            for who in self._names(row.who, row.tenant)
        ]
        others = (other for key in keys for other in self._rows.get(key, ()))
        covering = (other for other in others if other is not row and self._covers(other, row))
        return min(covering, key=lambda other: other.line, default=None)

    def _covers(self, other: Row, row: Row) -> bool:
        return (
            _decides_before(other, row)
            and other.via in self._names(row.via, row.tenant)
            and self._meant(row.tool) <= self._meant(other.tool)
        )

    def _names(self, name: str, tenant: str) -> frozenset[str]:
        """Everything a `who` or `via` column may hold to take in `name` in this tenant."""
        if names.EVERY in (name, tenant):
            return frozenset({name, names.EVERY})
        return self._roles.closure(name, tenant) | {names.EVERY}

    def _meant(self, word: str) -> frozenset[str]:
        found = self._tools.get(word)
        if found is None:
            tools = [*self._tags, *names.RESOURCES]
            found = self._tools[word] = frozenset(names.tools_named(word, tools, self._tags))
        return found


def _decides_before(other: Row, row: Row) -> bool:
    """Whether `row` changes nothing where `other` applies: not the effect, not its name, not its obligations."""
    difference = _STRICTNESS.index(other.effect) - _STRICTNESS.index(row.effect)
    return difference > 0 or (difference == 0 and other.line < row.line and row.then in (_NOTHING, other.then))
