"""A decision always says which rule and why."""

import pytest

from mcp_guard.model.decision import Decision, Effect, Obligations


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
