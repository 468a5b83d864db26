"""The example home's policy: loads without a warning, and its own tests pass."""

from pathlib import Path

import pytest

from mcp_guard.policy.cases import run_cases
from mcp_guard.policy.coverage import coverage
from mcp_guard.policy.load import lint, load
from tests.policy.conftest import HOME_TOOLS, principal

HOME = Path(__file__).parents[2] / "policy"


@pytest.mark.holds("policy:example")
def test_it_has_no_problems() -> None:
    assert lint(HOME / "model.conf", HOME / "policy.csv", HOME_TOOLS) == []


@pytest.mark.holds("policy:example")
def test_its_tests_pass() -> None:
    snapshot = load(HOME / "model.conf", HOME / "policy.csv", HOME_TOOLS)
    results = run_cases(sorted(HOME.glob("tests/*.yaml")), snapshot, principal)
    assert len(results) > 20
    assert [str(result) for result in results if not result.passed] == []


@pytest.mark.holds("policy:example")
def test_every_row_is_tested() -> None:
    """A row nobody tests is a row nobody means."""
    snapshot = load(HOME / "model.conf", HOME / "policy.csv", HOME_TOOLS)
    results = run_cases(sorted(HOME.glob("tests/*.yaml")), snapshot, principal)
    assert coverage(snapshot, [result.asked for result in results]).uncovered == ()
