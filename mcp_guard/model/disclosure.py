"""How much a decision tells whoever it is about, at a tool they can list. The audit record always has everything.

why    the rule and its reason
rule   the rule's id, by which the owner of the policy can be asked
code   nothing but what was decided
"""

from collections.abc import Mapping
from typing import Literal

from mcp_guard.model.decision import RULE_FROZEN, Decision, Effect
from mcp_guard.model.errors import Refused

Disclosure = Literal["why", "rule", "code"]

_CONSTANT: Mapping[str, str] = {
    Effect.DENY.value: "this is not allowed",
    Effect.REQUIRE_APPROVAL.value: "this needs somebody's approval",
    Effect.ALLOW.value: "this is allowed",
}
_UNKNOWN = "this is not told"
"""Of an effect nobody wrote: a record may have been tampered with, and reading it must not fail."""
_WITHHELD: Mapping[Disclosure, frozenset[str]] = {
    "why": frozenset(),
    "rule": frozenset({"then"}),
    "code": frozenset({"then", "rule"}),
}


def disclosed(decision: Mapping[str, object], how: Disclosure) -> dict[str, object]:
    """What may be told of a decision's fields: `effect`, `rule`, `reason`, `then`. Others are passed on."""
    told = {name: value for name, value in decision.items() if name not in _WITHHELD[how]}
    if how != "why" and "reason" in told:
        told["reason"] = _CONSTANT.get(str(told.get("effect")), _UNKNOWN)
    return told


def disclosing(refusal: Refused, how: Disclosure) -> Refused:
    """A refusal as whoever it is for may be told it. One that has no effect of policy behind it stays as it is."""
    if how == "why" or refusal.effect is None:
        return refusal
    return Refused(
        refusal.code,
        _CONSTANT[refusal.effect],
        rule=None if "rule" in _WITHHELD[how] else refusal.rule,
        effect=refusal.effect,
        executed=refusal.executed,
        retry=refusal.retry,
        retry_after_s=refusal.retry_after_s,
    )


def denial(decision: Decision, how: Disclosure) -> Refused:
    """The refusal that a denial by policy or a freeze is, as whoever it is for may be told it."""
    code: Literal["frozen", "policy_denied"] = "frozen" if decision.rule == RULE_FROZEN else "policy_denied"
    return disclosing(Refused(code, decision.reason, rule=decision.rule, effect="deny"), how)
