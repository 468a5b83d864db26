"""What changes from one policy to another: in the files, and in the decisions.

Decisions are compared over questions: those given, and generated ones about every row that differs, at the edges of
the conditions that meet it. Only rows that differ, and links that differ, can change a decision, so nothing else is
generated; `complete` says whether there were more questions than were asked.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, islice, product
from typing import Literal

from mcp_guard.model.decision import (
    NO_SUCH_TOOL,
    RULE_DEFAULT,
    AccessRequest,
    Act,
    Decision,
    Effect,
    Obligations,
)
from mcp_guard.model.limit import Limit
from mcp_guard.model.principal import ASSURANCES
from mcp_guard.policy import cases_apart, names, probes
from mcp_guard.policy.obligations import ROWS
from mcp_guard.policy.probes import MONDAY, Context, Somebody, World
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules, Snapshot
from mcp_guard.policy.usage import Path

MOST_QUESTIONS = 100_000
_MOST_CONTEXTS = 60

Direction = Literal["looser", "stricter"]
_STRICTNESS = (Effect.ALLOW, Effect.REQUIRE_APPROVAL, Effect.DENY)
_WIDTH = (None, *ROWS.values())


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that is only in one policy, or differs. `columns` names what differs."""

    what: Literal["added", "removed", "changed"]
    rule: str
    line: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkChange:
    what: Literal["added", "removed"]
    member: str
    role: str
    tenant: str


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """A question the policies answer differently. `looser` also where only one of several differences is."""

    direction: Direction
    request: AccessRequest
    before: Decision
    after: Decision

    @property
    def ways(self) -> str:
        """Both decisions in words."""
        before, after = self.before, self.after
        return f"{before.effect.value} by {before.rule} -> {after.effect.value} by {after.rule}"

    def as_dict(self) -> dict[str, object]:
        """The `--json` shape. The arguments are generated or those of a policy test."""
        who = self.request.principal
        return {
            "direction": self.direction,
            "subject": who.subject,
            "roles": sorted(who.roles),
            "via": who.client,
            "tenant": who.tenant,
            "act": self.request.act,
            "tool": self.request.tool,
            "args": None if self.request.arguments is None else dict(self.request.arguments),
            "before": _shown(self.before),
            "after": _shown(self.after),
        }


@dataclass(frozen=True, slots=True)
class Diff:
    """`decisions` holds one example for each pair of rules that took each other's place for a tool."""

    rows: tuple[RowChange, ...]
    links: tuple[LinkChange, ...]
    decisions: tuple[DecisionChange, ...]
    asked: int
    complete: bool

    def as_dict(self) -> dict[str, object]:
        """The `--json` shape."""
        return {
            "rows": [
                {"what": row.what, "rule": row.rule, "line": row.line, "columns": list(row.columns)}
                for row in self.rows
            ],
            "links": [
                {"what": link.what, "member": link.member, "role": link.role, "tenant": link.tenant}
                for link in self.links
            ],
            "decisions": [change.as_dict() for change in self.decisions],
            "asked": self.asked,
            "complete": self.complete,
        }


def diff(old: Snapshot, new: Snapshot, questions: Iterable[AccessRequest] = (), *, most: int = MOST_QUESTIONS) -> Diff:
    """Compare two policies; `questions` are asked first, then at most `most` generated ones."""
    rows, links = _rows(old.rules, new.rules), _links(old.rules, new.rules)
    generated = _Questions(old.rules, new.rules, rows, links).all()
    found: dict[tuple[str, str, str, str], DecisionChange] = {}
    asked = 0
    for request in chain(questions, islice(generated, most)):
        asked += 1
        before, after = _decide(old, request), _decide(new, request)
        direction = compare(before, after)
        if direction is not None:
            key = (request.tool, before.rule, after.rule, direction)
            found.setdefault(key, DecisionChange(direction, request, before, after))
    complete = next(generated, None) is None
    changes = sorted(found.values(), key=lambda change: (change.direction, change.request.tool))
    return Diff(tuple(rows), tuple(links), tuple(changes), asked, complete)


def _decide(policy: Snapshot, request: AccessRequest) -> Decision:
    """As the pipeline would: a tool that is not there is for nobody, whatever prefix it begins with."""
    if request.tool in policy.rules.tags or request.tool in names.RESOURCES:
        return policy.decide(request)
    return Decision(Effect.DENY, RULE_DEFAULT, NO_SUCH_TOOL, policy.version)


def compare(before: Decision, after: Decision) -> Direction | None:
    """Whether a decision became looser or stricter; `None` where only its rule, reason or version is another."""
    difference = _STRICTNESS.index(after.effect) - _STRICTNESS.index(before.effect)
    if difference:
        return "stricter" if difference > 0 else "looser"
    signs = _obligations(before.then, after.then)
    return None if not signs else "looser" if "looser" in signs else "stricter"


def _obligations(before: Obligations, after: Obligations) -> set[Direction]:
    """In which directions obligations differ."""
    found: set[Direction] = set()

    def note(looser: bool, stricter: bool) -> None:
        found.update(["looser"] if looser else [], ["stricter"] if stricter else [])

    gained, lost = set(after.approvers) - set(before.approvers), set(before.approvers) - set(after.approvers)
    if before.approvers and after.approvers:
        note(bool(gained), bool(lost))
    else:  # without approvers only the requester is asked
        note(not after.approvers and bool(before.approvers), not before.approvers and bool(after.approvers))
    note(before.confirm and not after.confirm, after.confirm and not before.confirm)
    note(before.not_requester and not after.not_requester, after.not_requester and not before.not_requester)
    note((after.quorum or 1) < (before.quorum or 1), (after.quorum or 1) > (before.quorum or 1))
    forever = float("inf")
    note(
        (after.expires or forever) > (before.expires or forever),
        (after.expires or forever) < (before.expires or forever),
    )
    note(*_escalation(before, after))
    surer = _surety(after) - _surety(before)
    note(surer < 0, surer > 0)
    wider = _WIDTH.index(after.rows) - _WIDTH.index(before.rows)
    note(wider > 0, wider < 0)
    note(not holds(before.limits, after.limits), not holds(after.limits, before.limits))
    hidden, hides = set(before.redact), set(after.redact)
    note(bool(hidden - hides), bool(hides - hidden))
    return found


def _escalation(before: Obligations, after: Obligations) -> tuple[bool, bool]:
    """Whether somebody may decide sooner than before, and whether somebody may only later, or not at all any more."""
    was, now = (
        dict.fromkeys(then.escalate.to, then.escalate.after) if then.escalate else {} for then in (before, after)
    )
    never = float("inf")
    sooner = {name: now.get(name, never) < was.get(name, never) for name in (*was, *now)}
    later = {name: now.get(name, never) > was.get(name, never) for name in (*was, *now)}
    return any(sooner.values()), any(later.values())


def _surety(then: Obligations) -> int:
    return 0 if then.assurance is None else ASSURANCES.index(then.assurance)


def holds(wanted: Sequence[Limit], given: Sequence[Limit]) -> bool:
    """Whether each of some limits is kept wherever the given ones are: one of them is of its kind and no larger."""
    return all(any(_covers(limit, other) for other in given) for limit in wanted)


def _covers(limit: Limit, other: Limit) -> bool:
    return other.most <= limit.most and replace(other, most=limit.most) == limit


def _rows(old: Rules, new: Rules) -> list[RowChange]:
    before, after = ({row.id: row for row in rules.rows} for rules in (old, new))
    found: list[RowChange] = []
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            found.append(RowChange("removed", name, before[name].line))
        elif name not in before:
            found.append(RowChange("added", name, after[name].line))
        elif columns := _columns(before[name], after[name]):
            found.append(RowChange("changed", name, after[name].line, columns))
    return found


def _columns(before: Row, after: Row) -> tuple[str, ...]:
    names_ = (entry.name for entry in fields(Row) if entry.name != "line")
    return tuple(name for name in names_ if getattr(before, name) != getattr(after, name))


def _links(old: Rules, new: Rules) -> list[LinkChange]:
    before, after = _links_of(old), _links_of(new)
    return [
        *(LinkChange("removed", *link) for link in sorted(before - after)),
        *(LinkChange("added", *link) for link in sorted(after - before)),
    ]


def _links_of(rules: Rules) -> set[tuple[str, str, str]]:
    return {
        (member, role, tenant)
        for tenant, graph in rules.roles.by_tenant.items()
        for member, roles in graph.items()
        for role in roles
    }


def _shown(decision: Decision) -> dict[str, object]:
    return {key: value for key, value in decision.as_record().items() if key != "policy"}


class _Questions:
    """Questions about the rows that differ."""

    def __init__(self, old: Rules, new: Rules, rows: Sequence[RowChange], links: Sequence[LinkChange]) -> None:
        self._worlds = (World.of(old), World.of(new))
        self._all = [*old.rows, *new.rows]
        self._tags = {
            tool: old.tags.get(tool, frozenset()) | new.tags.get(tool, frozenset())
            for tool in sorted(set(old.tags) | set(new.tags))
        }
        self._known_contexts: dict[tuple[Act, str], list[Context]] = {}
        self._tools = [*self._tags, *sorted(names.RESOURCES)]
        changed = {change.rule for change in rows}
        reached = {role for link in links for role in self._reached(old, new, link)}
        self._touched = [row for row in self._all if row.id in changed or {row.who, row.via} & reached]
        self._retagged = {tool for tool in self._tags if old.tags.get(tool) != new.tags.get(tool)}
        self._moved_roles = [link.member for link in links if names.is_role(link.member)]
        self._moved = self._below(old, new, {(link.member, link.tenant) for link in links})

    def _below(self, old: Rules, new: Rules, members: set[tuple[str, str]]) -> list[str]:
        """Those whose links differ: the members themselves and whoever has a member that is a role."""
        return [
            name
            for name in self._union("principals")
            for member, tenant in members
            if member in old.roles.closure(name, tenant) | new.roles.closure(name, tenant)
        ]

    def all(self) -> Iterator[AccessRequest]:
        """Questions about every row that differs and every tool whose tags do, one of each in turn."""
        waiting = deque(
            [
                *(self._about(row, self._tools) for row in self._touched),
                *(self._about(row, [tool]) for tool in sorted(self._retagged) for row in self._all),
            ]
        )
        while waiting:
            questions = waiting.popleft()
            question = next(questions, None)
            if question is not None:
                yield question
                waiting.append(questions)

    def _reached(self, old: Rules, new: Rules, link: LinkChange) -> frozenset[str]:
        return old.roles.closure(link.role, link.tenant) | new.roles.closure(link.role, link.tenant)

    def _about(self, row: Row, tools: Sequence[str]) -> Iterator[AccessRequest]:
        acts = probes.ACTS if row.act == names.EVERY else tuple(act for act in probes.ACTS if act == row.act)
        meant = names.tools_named(row.tool, tools, self._tags)
        everybody = self._somebodies(row) if meant else []
        for act, tool, somebody in product(acts, meant, everybody):
            for context in self._contexts(act, tool):
                yield context.request(somebody, act, tool)

    def _somebodies(self, row: Row) -> list[Somebody]:
        tenants = self._union("tenants") if row.tenant == names.EVERY else [row.tenant]
        found: list[Somebody] = []
        for tenant in tenants:
            for subject, claimed in self._meant(row.who, tenant, "user:nobody-known"):
                for client, _ in self._meant(row.via, tenant, "agent:nobody-known"):
                    found.append(Somebody(subject, client, tenant, claimed))
        return found

    def _meant(self, wanted: str, tenant: str, stranger: str) -> list[tuple[str, frozenset[str]]]:
        """Those a `who` or `via` column means: everybody of note, the members of a role and somebody claiming it."""
        prefix = stranger.partition(":")[0]
        kinds = ("agent:",) if prefix == "agent" else names.PRINCIPALS
        roles = sorted({row.who for row in self._all if names.is_role(row.who)}) if prefix == "user" else []
        if wanted == names.EVERY:
            known = self._union("principals") if prefix == "user" else self._union("agents")
            return [(name, frozenset()) for name in dict.fromkeys([*known, stranger]) if name.startswith(kinds)] + [
                (stranger, frozenset({role})) for role in roles
            ]
        if not names.is_role(wanted):
            return [(wanted, frozenset()), *((wanted, frozenset({role})) for role in roles)]
        members = [name for world in self._worlds for name in world.members.get((wanted, tenant), ())]
        found = [(name, frozenset[str]()) for name in dict.fromkeys([*members, *self._moved]) if name.startswith(kinds)]
        claims = [wanted, *self._moved_roles] if prefix == "user" else []
        alone = [(stranger, frozenset({role})) for role in claims]
        return [*found, *alone, *((stranger, frozenset({wanted, role})) for role in roles if role != wanted)]

    def _union(self, what: Literal["tenants", "principals", "agents"]) -> list[str]:
        return sorted({name for world in self._worlds for name in getattr(world, what)})

    def _contexts(self, act: Act, tool: str) -> list[Context]:
        """Every case the conditions about the tool tell apart. Where those cannot be counted: for each condition all
        its edges, with everything else somewhere ordinary."""
        if (act, tool) in self._known_contexts:
            return self._known_contexts[act, tool]
        conditions = dict.fromkeys(
            row.when.text
            for row in self._all
            if row.act in (names.EVERY, act) and names.tools_named(row.tool, [tool], self._tags)
        )
        counted = cases_apart.cases(conditions)
        if counted is not None:
            self._known_contexts[act, tool] = counted
            return counted
        ordinary = {path: values[0] for text in conditions for path, values in probes.fields(text).items()}
        found = [_context(ordinary)]
        for text in conditions:
            edges = probes.fields(text)
            for values in islice(product(*edges.values()), _MOST_CONTEXTS):
                found.append(_context(ordinary | dict(zip(edges, values, strict=True))))
        self._known_contexts[act, tool] = found
        return found


def _context(values: dict[Path, object]) -> Context:
    context = Context(MONDAY.replace(hour=12))
    for path, value in values.items():
        context.put(path, value)
    return context
