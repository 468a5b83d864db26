"""A compiled policy that is not the written one does not load."""

from pathlib import Path

import pytest

from mcp_guard.model.decision import AccessRequest, Decision
from mcp_guard.model.errors import Invalid
from mcp_guard.policy import self_check, verdict
from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.index import Index
from mcp_guard.policy.interpreter import Interpreter
from mcp_guard.policy.load import read
from mcp_guard.policy.plan import Plan, Step
from tests.policy.conftest import HOME_TOOLS, Files, row

HOME = Path(__file__).parents[2] / "policy"
ROWS = (
    row(id="small", who="role:support", tool="payments_refund", when="r.ctx.args.amount <= 100"),
    row(id="trusted", via="role:trusted", tool="orders_*"),
    row(id="limit", tool="risk:high", when="r.ctx.args.amount > 5000", eft="deny"),
    "g, user:alice, role:support, acme",
    "g, agent:local, role:trusted, acme",
)


def _blind_to_denials(self: Plan, request: AccessRequest, roles: object) -> Decision:
    return self._allowing[0].alone if self._allowing else self._default


def _blind_to_everybody(self: Index, who: object, tenant: str, act: str) -> list[object]:
    return []


@pytest.mark.holds("policy:self-check")
@pytest.mark.parametrize(
    ("what", "name", "broken"),
    [
        (Plan, "decide", _blind_to_denials),
        (Index, "rows_for", _blind_to_everybody),
        (Compiled, "_over_delegation", lambda self, request, roles, first: first),
    ],
)
def test_a_defect_refuses_the_load(
    files: Files, monkeypatch: pytest.MonkeyPatch, what: type, name: str, broken: object
) -> None:
    monkeypatch.setattr(self_check, "SECONDS", 60.0)
    files.load(*ROWS)
    monkeypatch.setattr(what, name, broken)
    with pytest.raises(Invalid) as caught:
        files.load(*ROWS)
    (problem,) = caught.value.problems
    assert (problem.code, problem.file) == ("self_check", "policy.csv")
    assert problem.hint


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, self_check.LEAST), (60.0, self_check.MOST)])
def test_it_asks_so_many_questions_and_no_more(
    files: Files, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int
) -> None:
    asked: list[AccessRequest] = []
    rules = files.load(*ROWS).rules
    decide = Interpreter.decide

    def counted(self: Interpreter, request: AccessRequest) -> Decision:
        asked.append(request)
        return decide(self, request)

    monkeypatch.setattr(Interpreter, "decide", counted)
    monkeypatch.setattr(self_check, "SECONDS", seconds)
    assert self_check.difference(Compiled(rules), rules, "policy.csv") == []
    assert len(asked) == expected
    first, asked[:] = list(asked), []
    self_check.difference(Compiled(rules), rules, "policy.csv")
    assert asked == first


def test_steps_know_what_they_say_alone(files: Files) -> None:
    """The prepared decision of a step is the one the verdict would give."""
    rules = read(HOME / "model.conf", HOME / "policy.csv", HOME_TOOLS)
    for order, rule in enumerate(rules.rows):
        step = Step.of(order, rule, rules.version)
        assert step.alone == verdict.settle([verdict.Matched(rule, "applied")], "call", rules.version)
