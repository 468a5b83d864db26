"""What is left to ask once a request's columns are known: the rows that fit, in the order of the file.

Everything that does not depend on the request is done beforehand, so that deciding is at best returning a value, and
otherwise asking conditions until one settles the matter. The verdict is `verdict.settle`'s, for the same rows.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from mcp_guard.model.decision import AccessRequest, Act, Decision, Effect, Obligations
from mcp_guard.policy import verdict
from mcp_guard.policy.condition import Condition
from mcp_guard.policy.rows import Row
from mcp_guard.policy.verdict import Matched

_NOTHING = Obligations()


@dataclass(frozen=True, slots=True)
class Step:
    """One row. `when` is `None` where it always holds; `alone` is the decision if no other row of its effect holds."""

    order: int
    row: Row
    when: Condition | None
    denies: bool
    allows: bool
    obliges: bool
    alone: Decision

    @classmethod
    def of(cls, order: int, row: Row, version: str) -> "Step":
        when = None if row.when.constant else row.when
        alone = verdict.settle([Matched(row, "applied")], "call", version)
        effect = row.effect
        return cls(order, row, when, effect is Effect.DENY, effect is Effect.ALLOW, row.then != _NOTHING, alone)


_ORDER = attrgetter("order")


class Plan:
    """The steps of all requests that are alike in everything but their context. Immutable.

    `fixed` is the decision where no context can change it; `default` is the policy's, where no step applies.
    """

    __slots__ = ("_act", "_allowing", "_default", "_merges", "_protecting", "fixed", "size")

    def __init__(self, steps: Iterable[Step], act: Act, default: Decision) -> None:
        ordered = sorted(steps, key=_ORDER)
        self._act, self._default = act, default
        self._protecting = tuple([step for step in ordered if not step.allows])
        self._allowing = tuple([step for step in ordered if step.allows])
        # Obligations of allow rows add up, so then every one of them has to be asked, not only until the first holds.
        self._merges = act == "audit" or any(step.obliges for step in self._allowing)
        self.size = len(ordered)
        self.fixed = self._settled()

    def _settled(self) -> Decision | None:
        if self.size == 0:
            return self._default
        if self._protecting:
            first = self._protecting[0]
            return first.alone if first.denies and first.when is None else None
        return self._allowing[0].alone if self._allowing[0].when is None and not self._merges else None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of the steps, in the order of the file."""
        return tuple([step.row for step in sorted([*self._protecting, *self._allowing], key=_ORDER)])

    def decide(self, request: AccessRequest, roles: Collection[str]) -> Decision:
        """The decision for one actor; `roles` are those of the request's subject."""
        if self.fixed is not None:
            return self.fixed
        asking: list[Step] = []
        for step in self._protecting:
            outcome = _outcome(step, request, roles)
            if outcome == "failed":
                return verdict.settle([Matched(step.row, outcome)], self._act, self._default.policy)
            if outcome == "applied":
                if step.denies:
                    return step.alone
                asking.append(step)
        return self._named(asking) if asking else self._granted(request, roles)

    def _granted(self, request: AccessRequest, roles: Collection[str]) -> Decision:
        granting: list[Step] = []
        for step in self._allowing:
            if _outcome(step, request, roles) == "applied":
                if not self._merges:
                    return step.alone
                granting.append(step)
        return self._named(granting) if granting else self._default

    def _named(self, applied: Sequence[Step]) -> Decision:
        if len(applied) == 1 and not self._merges:
            return applied[0].alone
        return verdict.settle([Matched(step.row, "applied") for step in applied], self._act, self._default.policy)


def _outcome(step: Step, request: AccessRequest, roles: Collection[str]) -> verdict.Outcome:
    try:
        return "applied" if step.when is None or step.when.holds(request, roles) else "false"
    except Exception:  # noqa: BLE001 - no call may get past a rule by making it fail in an unforeseen way
        return "failed"
