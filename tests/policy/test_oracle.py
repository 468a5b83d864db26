"""The engine that serves says what the interpreter says, and what stock Casbin says where both mean the same."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.decision import RULE_DEFAULT, AccessRequest
from mcp_guard.policy import verdict
from mcp_guard.policy.compiled import Compiled
from tests.policy.conftest import Files
from tests.policy.oracles import Oracles, Tally
from tests.policy.strategies import policies, requests


@pytest.mark.holds("policy:compiled-agrees", "policy:casbin-agrees")
def test_both_oracles_agree(module_files: Files) -> None:
    tally = Tally()

    @given(policies, st.lists(requests, min_size=1, max_size=12))
    @settings(deadline=None, max_examples=100)
    def agrees(text: str, questions: Sequence[AccessRequest]) -> None:
        oracles = Oracles(module_files.read(text), text, tally)
        for question in questions:
            oracles.ask(question)

    agrees()
    assert tally.stock > tally.interpreter / 10 > 0, "too few questions that stock Casbin can answer"


@pytest.mark.holds("decision:has-rule-and-reason")
@given(policies, st.lists(requests, min_size=1, max_size=12))
@settings(deadline=None, max_examples=60)
def test_every_decision_names_a_rule_that_is_there_and_its_own_reason(
    module_files: Files, text: str, questions: Sequence[AccessRequest]
) -> None:
    """Whatever is asked, also by nobody about nothing; and no reason repeats what the question held."""
    rules = module_files.read(text)
    reasons = {row.id: {row.why, verdict.FAILED} for row in rules.rows}
    reasons[RULE_DEFAULT] = {verdict.default(rules.version).reason}
    for question in questions:
        decision = Compiled(rules).decide(question)
        assert decision.reason in reasons[decision.rule]
        assert decision.policy == rules.version
