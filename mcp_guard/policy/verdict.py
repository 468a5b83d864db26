"""From the rows that matched to one decision: deny > require_approval > allow > default deny.

The order of rows never changes the effect. Of several rows of the deciding effect the first in the file is named, and
the approvers of the first that names some decide, joined by whom it says (`escalate`); the others still oblige: the
shortest `expires`, the largest `quorum`, the strongest `assurance`, `not=requester` and `confirm=requester` if any asks
for it, every limit and every place to be redacted, over a delegation those of every hop. For reading the log the
widest `rows` of one actor counts; over a delegation the narrowest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from mcp_guard.model.decision import RULE_DEFAULT, Decision, Effect, Obligations, Rows
from mcp_guard.model.principal import ASSURANCES
from mcp_guard.policy.obligations import ROWS
from mcp_guard.policy.rows import Row

Outcome = Literal["applied", "failed", "false"]

NO_RULE = "no rule allows this"
FAILED = "a rule that protects this could not be evaluated for this call"

_STRICTNESS = (Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW)


class Matched(NamedTuple):
    """A row whose columns fit the request, and what became of its condition."""

    row: Row
    outcome: Outcome


def default(version: str) -> Decision:
    """What holds where no row applies."""
    return Decision(Effect.DENY, RULE_DEFAULT, NO_RULE, version)


def settle(matched: Iterable[Matched], act: str, version: str) -> Decision:
    """The decision for one actor. `matched` is in the order of the file.

    A condition that fails makes a deny or approval row deny and an allow row not apply.
    """
    found = deciding(matched)
    if not found:
        return default(version)
    first = found[0]
    if first.outcome == "failed":
        return Decision(Effect.DENY, first.row.id, FAILED, version)
    if first.row.effect is Effect.DENY:
        return Decision(Effect.DENY, first.row.id, first.row.why, version)
    return _granted([matched.row for matched in found], act, version)


def deciding(matched: Iterable[Matched]) -> Sequence[Matched]:
    """The rows a decision is made of, the one it is named after first; none where nothing applies."""
    rows: dict[Effect, list[Matched]] = {effect: [] for effect in _STRICTNESS}
    for found in matched:
        if found.outcome == "applied":
            rows[found.row.effect].append(found)
        elif found.outcome == "failed" and found.row.effect is not Effect.ALLOW:
            rows[Effect.DENY].append(found)
    return next(filter(None, rows.values()), ())


def _granted(rows: Sequence[Row], act: str, version: str) -> Decision:
    first = rows[0]
    then = merged([row.then for row in rows]) if len(rows) > 1 else first.then
    if act == "audit" and first.effect is Effect.ALLOW:
        then = replace(then, rows=_widest(row.then.rows or "own" for row in rows))
    return Decision(first.effect, first.id, first.why, version, then)


def merged(found: Sequence[Obligations]) -> Obligations:
    """All obligations of several rows at once, approvers and escalation those of the first that has approvers; see the
    module."""
    people = next((then for then in found if then.approvers), found[0])
    return Obligations(
        approvers=people.approvers,
        not_requester=any(then.not_requester for then in found),
        quorum=max((then.quorum for then in found if then.quorum is not None), default=None),
        expires=min((then.expires for then in found if then.expires is not None), default=None),
        escalate=people.escalate,
        rows=_widest(then.rows for then in found),
        assurance=max((then.assurance for then in found if then.assurance), key=ASSURANCES.index, default=None),
        confirm=any(then.confirm for then in found),
        limits=tuple(limit for then in found for limit in then.limits),
        redact=_places(found),
    )


def strictest(decisions: Sequence[Decision]) -> Decision:
    """One decision for all actors of a delegation; of equally strict ones the first, obliged to what all ask for."""
    if len(decisions) == 1:
        return decisions[0]
    chosen = min(decisions, key=lambda decision: _STRICTNESS.index(decision.effect))
    if chosen.effect is Effect.DENY:
        return chosen
    equals = [decision.then for decision in decisions if decision.effect is chosen.effect]
    then = merged(equals) if len(equals) > 1 else chosen.then
    limits = tuple(limit for decision in decisions for limit in decision.then.limits)
    redact = _places([decision.then for decision in decisions])
    rows = _narrowest(then.rows for then in equals)
    return replace(chosen, then=replace(then, rows=rows, limits=limits, redact=redact))


def _places(found: Iterable[Obligations]) -> tuple[str, ...]:
    return tuple(sorted({place for then in found for place in then.redact}))


def _narrowest(found: Iterable[Rows | None]) -> Rows | None:
    asked_for = set(found)
    return next((rows for rows in ROWS.values() if rows in asked_for), None)


def _widest(found: Iterable[Rows | None]) -> Rows | None:
    asked_for = set(found)
    return next((rows for rows in reversed(ROWS.values()) if rows in asked_for), None)
