"""`mcp-guard explain`, and the exit statuses that everything shares (contract section 5)."""

from collections.abc import Iterator

import pytest

from mcp_guard.cli.reference import EXIT_STATUSES
from mcp_guard.demo.story import StepFailed
from mcp_guard.model import errors
from mcp_guard.model.codes import CODES
from mcp_guard.model.errors import GuardError
from mcp_guard.store.errors import IntentClosed
from tests.cli.conftest import Guard


@pytest.mark.holds("cli:explain")
@pytest.mark.parametrize("code", CODES)
def test_every_code_of_a_refusal_is_explained(code: str, run_here: Guard) -> None:
    ran = run_here("--json", "explain", code)
    assert ran.status == 0
    assert list(ran.json) == ["code", "meaning", "advice", "retry", "exit"]
    assert ran.json["code"] == code
    assert all(len(str(ran.json[name])) > 10 for name in ("meaning", "advice"))
    assert ran.json["meaning"] in run_here("explain", code).out


def _classes(root: type[GuardError]) -> Iterator[type[GuardError]]:
    yield root
    for below in root.__subclasses__():
        yield from _classes(below)


@pytest.mark.holds("cli:explain")
def test_every_code_an_error_can_have_is_explained(run_here: Guard) -> None:
    known = {row["code"] for row in run_here("--json", "explain").json}
    own = {kind.code for kind in _classes(GuardError) if kind.__module__ == errors.__name__}
    assert own | set(CODES) <= known


def test_a_code_that_is_none(run_here: Guard) -> None:
    ran = run_here("--json", "explain", "polcy_denied")
    assert (ran.status, ran.error["hint"]) == (2, "did you mean policy_denied?")


# Written from the contract: 3 bad arguments · 5 denied, unknown, limited, frozen · 6 approval · 7 upstream or output
# · 8 audit.
STATUSES = {
    "args_invalid": 3,
    "policy_denied": 5,
    "approval_pending": 6,
    "approval_denied": 5,
    "approval_expired": 6,
    "approval_mismatch": 5,
    "rate_limited": 5,
    "budget_exhausted": 5,
    "repeat_blocked": 5,
    "frozen": 5,
    "egress_denied": 5,
    "upstream_unavailable": 7,
    "upstream_timeout": 7,
    "upstream_too_large": 7,
    "upstream_bad_response": 7,
    "upstream_error": 7,
    "output_invalid": 7,
    "quarantined": 5,
    "connection_required": 5,
    "audit_unavailable": 8,
    "outcome_unrecorded": 8,
    "in_doubt": 6,
    "cancelled": 5,
    "deadline_passed": 7,
    "internal": 1,
}


@pytest.mark.holds("cli:exit-status")
def test_statuses_of_codes() -> None:
    assert {code: entry.exit_code for code, entry in CODES.items()} == STATUSES


@pytest.mark.holds("cli:exit-status")
def test_statuses_of_errors() -> None:
    expected: dict[type[GuardError], int] = {
        errors.GuardError: 1,
        errors.UsageError: 2,
        errors.Invalid: 3,
        errors.Unauthenticated: 5,
        errors.UnknownTool: 5,
        errors.StoreUnavailable: 8,
        errors.LogBroken: 8,
        IntentClosed: 8,
        StepFailed: 1,
    }
    assert {kind: kind.exit_code for kind in expected} == expected
    for code, status in STATUSES.items():
        assert errors.Refused(code, "because").exit_code == status  # type: ignore[arg-type]  # the table's keys are codes
    assert {kind.exit_code for kind in _classes(GuardError)} | set(STATUSES.values()) <= set(EXIT_STATUSES)
