"""A decision on record explained: what was decided then, with which inputs, and what the policy in force says now."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.admin.replay import Reason, Replayer
from mcp_guard.admin.what_if import WhatIf
from mcp_guard.audit.asked import Asked, asked
from mcp_guard.audit.query import Query
from mcp_guard.kit import pointer
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model import context
from mcp_guard.model.decision import Decision
from mcp_guard.policy.diff import Direction, compare
from mcp_guard.policy.explanation import Explanation, explained
from mcp_guard.policy.reading import HIDDEN

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """The decision of a call on record, and how the call ended, where it has.

    `would` is what the decision would have done to the call, where the tool was only observed.
    """

    asked: Asked
    outcome: Record | None
    would: object = None


async def find(query: Query, which: str) -> Found | None:
    """The decision of a call, by its id or a record's number; the newest where there are several.

    `None` where there is no such record, or where it holds no decision and belongs to no call that does.
    """
    _, records = await query.find(which)
    deciding = [record for record in records if "decision" in record]
    if not deciding:
        return None
    chosen = next((record for record in deciding if str(record.get("_n")) == which), deciding[-1])
    n = chosen["_n"]
    assert isinstance(n, int)
    names = chosen.get("names")
    found = asked(chosen, await query.sides(n), names if isinstance(names, dict) else {})
    assert found is not None
    outcome = next((record for record in records if record.get("kind") == "outcome"), None)
    return Found(found, outcome, chosen.get("would"))


@dataclass(frozen=True, slots=True)
class Recorded:
    """`explanation` is that of the policy in force, missing where it cannot be asked: `reason` says why."""

    found: Found
    inputs: Mapping[str, object] | None
    explanation: Explanation | None
    reason: Reason | None

    @property
    def change(self) -> Direction | None:
        """In which direction the policy in force decides otherwise."""
        before, after = self.found.asked.decision, self.now
        return None if before is None or after is None else compare(before, after)

    @property
    def now(self) -> Decision | None:
        return None if self.explanation is None else self.explanation.decision

    def as_dict(self) -> dict[str, object]:
        """The shape of `policy explain CALL --json`."""
        asked, outcome = self.found.asked, self.found.outcome or {}
        now = None
        if self.explanation is not None:
            now = {**self.explanation.decision.as_record(), **self.explanation.as_dict()}
        return {
            "call": asked.call,
            "n": asked.n,
            "time": as_datetime(asked.t).isoformat(),
            "tool": asked.tool,
            "recorded": None if asked.decision is None else asked.decision.as_record() | self._would(),
            "ended": {name: outcome[name] for name in ("status", "code", "executed") if name in outcome} or None,
            "inputs": self.inputs,
            "now": now,
            "not_asked": self.reason,
            "change": self.change,
        }

    def _would(self) -> dict[str, object]:
        return {} if self.found.would is None else {"would": self.found.would}


def explain(what_if: WhatIf, found: Found) -> Recorded:
    """Explain a decision on record by the policy in force. What is or was sensitive reads `***`."""
    answer = Replayer(what_if.policy, what_if.catalog).ask(found.asked)
    hidden = [*what_if.hidden(found.asked.tool), *map(pointer.join, found.asked.unknown)]
    explanation = None
    if answer.request is not None:
        explanation = explained(what_if.policy, answer.request, hidden)
    return Recorded(found, _inputs(found.asked, hidden), explanation, answer.reason)


def _inputs(asked: Asked, hidden: list[str]) -> Mapping[str, object] | None:
    """What policy saw: `actor`, `args` and the rest as it is kept (`model.context`)."""
    if asked.request is None:
        return None
    value: object = {
        "actor": asked.request.principal.as_actor(),
        "args": asked.arguments,
        **context.of_request(asked.request),
    }
    for where in hidden:
        value = pointer.replace(value, where.removeprefix("/subject"), lambda _: HIDDEN)
    assert isinstance(value, dict)
    return value
