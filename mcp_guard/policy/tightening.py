"""Whether a change of policy can be shown to let nothing more through; asking questions shows only the contrary.

A row that denies is added, a row that allows is gone, or its condition holds in fewer cases: such a change tightens
whatever else the policy says. So does every change about which all cases could be counted and asked (`cases_apart`).
Everything else is named here, because whoever wants to loosen a policy unseen picks what no question is about: a
weekend, an agent of which nothing is known yet, the order of two rows that ask for approval.
"""

import ast
from collections.abc import Iterator, Sequence

from mcp_guard.model.decision import AccessRequest, Act, Effect
from mcp_guard.policy import cases_apart, names, probes, syntax
from mcp_guard.policy.condition import Condition
from mcp_guard.policy.diff import Diff, LinkChange, RowChange
from mcp_guard.policy.probes import Somebody
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules

_SOMEBODY = Somebody("user:nobody-known", "agent:nobody-known", "elsewhere")


def unproven(old: Rules, new: Rules, found: Diff) -> Iterator[str]:
    """One line for every difference of which it is not shown that it lets nothing more through."""
    about = _About(old, new)
    yield from filter(None, (about.row(change) for change in found.rows))
    yield from filter(None, (about.link(change) for change in found.links))
    yield from about.tools()
    yield from about.order()


class _About:
    """Two policies, and what could be counted of the questions to them."""

    def __init__(self, old: Rules, new: Rules) -> None:
        self._old, self._new = old, new
        self._before, self._after = ({row.id: row for row in rules.rows} for rules in (old, new))
        self._rows = tuple({(row.id, row.when.text, row.act, row.tool): row for row in (*old.rows, *new.rows)}.values())
        self._tags = {
            tool: old.tags.get(tool, frozenset()) | new.tags.get(tool, frozenset()) for tool in {**old.tags, **new.tags}
        }
        self._counted: dict[tuple[Act, str], bool] = {}

    def row(self, change: RowChange) -> str | None:
        before, after = self._before.get(change.rule), self._after.get(change.rule)
        if _only_tightens(before, after) or all(map(self._is_counted, filter(None, (before, after)))):
            return None
        where = f"row {change.rule} (line {change.line}) is {change.what}"
        return f"{where}, and it is not shown that this lets nothing more through"

    def link(self, change: LinkChange) -> str | None:
        if change.what == "added":  # who may decide about approvals is said by roles, and no decision shows it
            return f"{change.member} gets {change.role} in {change.tenant}"
        roles = self._old.roles.closure(change.role, change.tenant)
        lost = [row for row in self._old.rows if {row.who, row.via} & roles and row.effect is not Effect.ALLOW]
        asking = any("roles" in row.when.text for row in self._rows)  # r.ctx.subject.roles, however it is written
        if not asking and all(map(self._is_counted, lost)):
            return None
        return f"{change.member} loses {change.role} in {change.tenant}, which does not only allow"

    def tools(self) -> Iterator[str]:
        """Tools that came, or have other tags."""
        for tool in sorted(self._new.tags):
            old, new = self._old.tags.get(tool), self._new.tags[tool]
            if old == new:
                continue
            moved = [
                row
                for row in self._rows
                if names.tools_named(row.tool, [tool], {tool: (old or frozenset()) ^ new})
                and (old is None or not row.tool.endswith(names.EVERY))
            ]
            if not all(self._is_counted_at(act, tool) for row in moved for act in _acts(row)):
                yield f"{tool} is new" if old is None else f"{tool} has other tags"

    def order(self) -> Iterator[str]:
        """The first of several rows that ask for approval says who decides."""
        both = self._before.keys() & self._after.keys()
        orders = (
            [row.id for row in rules.rows if row.id in both and row.effect is Effect.REQUIRE_APPROVAL]
            for rules in (self._old, self._new)
        )
        if next(orders) != next(orders):
            yield "rows that ask for approval stand in another order, and the first one says who decides"

    def _is_counted(self, row: Row) -> bool:
        return all(
            self._is_counted_at(act, tool)
            for act in _acts(row)
            for tool in names.tools_named(row.tool, [*self._tags, *names.RESOURCES], self._tags)
        )

    def _is_counted_at(self, act: Act, tool: str) -> bool:
        known = self._counted.get((act, tool))
        if known is None:
            known = self._counted[act, tool] = cases_apart.cases(self._texts(act, tool)) is not None
        return known

    def _texts(self, act: Act, tool: str) -> Iterator[str]:
        return (
            row.when.text
            for row in self._rows
            if row.act in (names.EVERY, act) and names.tools_named(row.tool, [tool], self._tags)
        )


def _acts(row: Row) -> Sequence[Act]:
    return [act for act in probes.ACTS if row.act in (names.EVERY, act)]


def _only_tightens(before: Row | None, after: Row | None) -> bool:
    """Whether this is so whatever the other rows say."""
    if any(row is not None and row.effect is Effect.ALLOW and _obliges(row) for row in (before, after)):
        return False  # beside another row that allows, it is what it limits and hides that counts
    if before is None or after is None:
        return after.effect is Effect.DENY if after else before is not None and before.effect is Effect.ALLOW
    columns = [name for name in ("who", "via", "tenant", "act", "tool", "effect", "then") if
               getattr(before, name) != getattr(after, name)]  # fmt: skip
    if columns:
        return False
    if before.when.text == after.when.text:
        return True
    match after.effect:
        case Effect.ALLOW:
            return _adds(ast.And, before.when, after.when) or _implies(after.when, before.when, failing=False)
        case Effect.DENY:
            return _adds(ast.Or, before.when, after.when) or _implies(before.when, after.when, failing=True)
    return False


def _obliges(row: Row) -> bool:
    return bool(row.then.limits or row.then.redact)


def _adds(join: type[ast.boolop], before: Condition, after: Condition) -> bool:
    """Whether a condition is another one and more, joined by `and` or by `or`."""
    return _parts(join, before.text) <= _parts(join, after.text)


def _parts(join: type[ast.boolop], text: str) -> frozenset[str]:
    tree = syntax.parse(text)
    together = isinstance(tree, ast.BoolOp) and isinstance(tree.op, join)
    return frozenset(map(ast.dump, tree.values if isinstance(tree, ast.BoolOp) and together else [tree]))


def _implies(narrow: Condition, wide: Condition, *, failing: bool) -> bool:
    """Whether `wide` applies wherever `narrow` does; `failing` says whether a condition that fails applies."""
    counted = cases_apart.cases([narrow.text, wide.text])
    return counted is not None and all(
        _applies(wide, request, failing) or not _applies(narrow, request, failing)
        for request in (context.request(_SOMEBODY, "call", "") for context in counted)
    )


def _applies(condition: Condition, request: AccessRequest, failing: bool) -> bool:
    try:
        return condition.holds(request, frozenset())
    except Exception:  # noqa: BLE001 - as in deciding: whatever it raises is a failure
        return failing
