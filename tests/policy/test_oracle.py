"""The engine that serves says what the interpreter says, and what stock Casbin says where both mean the same."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.decision import AccessRequest
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
