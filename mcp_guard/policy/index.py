"""The rows of a policy by the columns that stand before the condition.

Two look-ups replace the walk over all rows: who somebody is finds the rows about them (`rows_for`), and what a tool is
called and tagged finds the columns that name it (`patterns`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcp_guard.policy import names
from mcp_guard.policy.plan import Step
from mcp_guard.policy.snapshot import Rules

Steps = Mapping[str, list[Step]]


@dataclass(frozen=True, slots=True)
class Index:
    """Steps by (tenant, act, who), and every word the columns hold."""

    steps: Mapping[tuple[str, str, str], list[Step]]
    who: frozenset[str]
    via: frozenset[str]
    tenants: frozenset[str]
    tools: frozenset[str]
    prefix_lengths: tuple[int, ...]
    tags: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, rules: Rules) -> "Index":
        steps: dict[tuple[str, str, str], list[Step]] = {}
        rows = [row for row in rules.rows if row.when.constant is not False]
        for order, row in enumerate(rows):
            steps.setdefault((row.tenant, row.act, row.who), []).append(Step.of(order, row, rules.version))
        tools = frozenset(row.tool for row in rows)
        lengths = sorted({len(tool) - 1 for tool in tools if tool.endswith(names.EVERY)})
        return cls(
            steps,
            frozenset(row.who for row in rows),
            frozenset(row.via for row in rows),
            frozenset(row.tenant for row in rows),
            tools,
            tuple(lengths),
            rules.tags,
        )

    def rows_for(self, who: Iterable[str], via: frozenset[str], tenant: str, act: str) -> Steps:
        """Every step about somebody with these names in this tenant, by what stands in its `tool` column."""
        found: dict[str, list[Step]] = {}
        for in_tenant in {tenant, names.EVERY}:
            for for_act in {act, names.EVERY}:
                for name in {*who, names.EVERY}:
                    for step in self.steps.get((in_tenant, for_act, name), ()):
                        if step.row.via == names.EVERY or step.row.via in via:
                            found.setdefault(step.row.tool, []).append(step)
        return found

    def patterns(self, tool: str) -> list[str]:
        """What the `tool` column may hold to mean this tool, of what it holds anywhere."""
        exact = {tool, *self.tags.get(tool, ())} - {names.EVERY}
        found = [name for name in exact if name in self.tools and not name.endswith(names.EVERY)]
        for length in self.prefix_lengths:
            if length <= len(tool) and (prefix := tool[:length] + names.EVERY) in self.tools:
                found.append(prefix)
        return found
