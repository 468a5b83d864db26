"""A decision always says which rule and why."""

from dataclasses import fields

import pytest

from mcp_guard.model.decision import Decision, Effect, Escalation, Obligations
from mcp_guard.model.limit import Limit


@pytest.mark.holds("decision:has-rule-and-reason")
@pytest.mark.parametrize(("rule", "reason", "policy"), [("", "why", "v"), ("r", "", "v"), ("r", "why", "")])
def test_cannot_be_built_without(rule: str, reason: str, policy: str) -> None:
    with pytest.raises(ValueError, match="needs a rule"):
        Decision(Effect.ALLOW, rule, reason, policy)


def test_record_form_holds_only_what_is_asked_for() -> None:
    decision = Decision(Effect.REQUIRE_APPROVAL, "r", "why", "v", Obligations(("role:a",), True, None, 60))
    assert decision.as_record() == {
        "effect": "require_approval",
        "rule": "r",
        "reason": "why",
        "policy": "v",
        "then": {"approvers": ["role:a"], "not": "requester", "expires": 60},
    }


LIMITS = (
    Limit("rate", 3, "minute", "who"),
    Limit("rate", 3, "minute", "who"),
    Limit("budget", 2_500_000, "month", "tenant", "usd"),
    Limit("concurrency", 2),
    Limit("concurrency", 2, "", "via"),
)
EVERY_OBLIGATION = Obligations(
    ("role:a", "user:b"),
    True,
    2,
    60,
    "tenant",
    escalate=Escalation(("role:c", "user:d"), 30),
    assurance="signed",
    confirm=True,
    limits=LIMITS,
    redact=("/note",),
)


@pytest.mark.holds("policy:replay")
def test_a_decision_on_record_can_be_read_again() -> None:
    """With every obligation there is: a replay compares them."""
    assert all(getattr(EVERY_OBLIGATION, field.name) != field.default for field in fields(Obligations))
    for then in (EVERY_OBLIGATION, Obligations()):
        decision = Decision(Effect.REQUIRE_APPROVAL, "r", "why", "v", then)
        assert Decision.from_record(decision.as_record() | {"of_somebody_else": 1}) == decision


@pytest.mark.holds("policy:replay-honest")
@pytest.mark.parametrize(
    "change",
    [
        {"effect": "maybe"},
        {"effect": None},
        {"rule": ""},
        {"reason": 1},
        {"policy": None},
        {"then": []},
        {"then": {"quorum": "2"}},
        {"then": {"quorum": True}},
        {"then": {"approvers": "role:a"}},
        {"then": {"approvers": [1]}},
        {"then": {"not": "anybody"}},
        {"then": {"rows": ["all"]}},
        {"then": {"invented": 1}},
        {"then": {"escalate": None}},
        {"then": {"escalate": ["role:a", 60]}},
        {"then": {"escalate": {"to": "role:a", "after": 60}}},
        {"then": {"escalate": {"to": ["role:a"], "after": 60.5}}},
        {"then": {"escalate": {"to": ["role:a"], "after": 60, "invented": 1}}},
    ],
    ids=repr,
)
def test_what_the_guard_did_not_write_is_no_decision(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|mapping|names|needs|Effect"):
        Decision.from_record(Decision(Effect.ALLOW, "r", "why", "v").as_record() | change)
