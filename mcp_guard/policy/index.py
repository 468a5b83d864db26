"""The rows of a policy by the columns that stand before the condition.

Two look-ups replace the walk over all rows: who somebody is finds the rows about them (`rows_for`), and what a tool is
called and tagged finds the columns that name it (`patterns`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcp_guard.policy import names
from mcp_guard.policy.plan import Step
from mcp_guard.policy.snapshot import Rules

Steps = Mapping[str, Sequence[Step]]  # by what stands in the `tool` column


@dataclass(frozen=True, slots=True)
class Index:
    """Steps by (tenant, act, who), and the words of the columns that can make a difference."""

    steps: Mapping[tuple[str, str, str], Steps]
    who: frozenset[str]
    via: frozenset[str]
    tenants: frozenset[str]
    tools: "Tools"

    @classmethod
    def of(cls, rules: Rules) -> "Index":
        rows = [row for row in rules.rows if row.when.constant is not False]
        steps: dict[tuple[str, str, str], dict[str, list[Step]]] = {}
        for order, row in enumerate(rows):
            about = steps.setdefault((row.tenant, row.act, row.who), {})
            about.setdefault(row.tool, []).append(Step.of(order, row, rules.version))
        who, via = frozenset(row.who for row in rows), frozenset(row.via for row in rows)
        tools = Tools.of({row.tool for row in rows}, rules.tags)
        return cls(steps, who, via, frozenset(row.tenant for row in rows), tools)

    def rows_for(self, who: Iterable[str], tenant: str, act: str) -> list[Steps]:
        """Every step about somebody with these names in this tenant, as the groups it stands in."""
        keys = [
            (in_tenant, for_act, name)
            for in_tenant in {tenant, names.EVERY}
            for for_act in {act, names.EVERY}
            for name in {*who, names.EVERY}
        ]
        return [self.steps[key] for key in keys if key in self.steps]


@dataclass(frozen=True, slots=True)
class Tools:
    """What the `tool` column may hold to mean a tool: its name, one of its tags, or a prefix with `*`."""

    words: frozenset[str]
    prefix_lengths: tuple[int, ...]
    known: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, words: Iterable[str], tags: Mapping[str, frozenset[str]]) -> "Tools":
        """For the words of all rows, with the tools there are worked out beforehand."""
        found = frozenset(words)
        lengths = tuple(sorted({len(word) - 1 for word in found if word.endswith(names.EVERY)}))
        unknown = cls(found, lengths, {})
        tools = dict.fromkeys(names.RESOURCES, frozenset[str]()) | dict(tags)
        return cls(found, lengths, {tool: unknown.naming(tool, given) for tool, given in tools.items()})

    def naming(self, tool: str, tags: Iterable[str] = ()) -> tuple[str, ...]:
        """The words of the rows that name a tool. A word ending with `*` is only ever a prefix."""
        if tool in self.known:
            return self.known[tool]
        exact = [word for word in {tool, *tags} & self.words if not word.endswith(names.EVERY)]
        prefixes = (tool[:length] + names.EVERY for length in self.prefix_lengths if length <= len(tool))
        return (*exact, *(prefix for prefix in prefixes if prefix in self.words))
