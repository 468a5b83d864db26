"""Coverage counts rows whose decision was seen, not rows that happened to be there."""

from random import Random

import pytest

from mcp_guard.policy.coverage import coverage
from mcp_guard.policy.probes import World
from mcp_guard.policy.snapshot import Snapshot
from tests.policy.conftest import Files, principal, request, row

ROWS = (
    row(id="small", tool="payments_refund", when="r.ctx.args.amount <= 100"),
    row(id="ask", tool="payments_*", when="r.ctx.args.amount > 100", eft="require_approval", then="approvers=role:a"),
    row(id="ask-too", tool="risk:high", when="r.ctx.args.amount > 50", eft="require_approval", then="approvers=role:b"),
    row(id="planner", who="agent:planner", tool="payments_refund"),
    row(id="never", tool="payments_refund", when="r.ctx.args.amount > 9000", eft="deny"),
)  # fmt: skip


@pytest.fixture
def policy(files: Files) -> Snapshot:
    return files.load(*ROWS)


def uncovered(policy: Snapshot, *amounts: object, **more: object) -> list[str]:
    asked = [request(arguments={"amount": amount}, **more) for amount in amounts]  # type: ignore[arg-type]  # of a test
    return [found.id for found in coverage(policy, asked).uncovered]


@pytest.mark.holds("policy:coverage")
def test_a_row_that_decides_is_covered_and_so_is_one_that_takes_part(policy: Snapshot) -> None:
    assert uncovered(policy) == ["small", "ask", "ask-too", "planner", "never"]
    assert uncovered(policy, 40) == ["ask", "ask-too", "planner", "never"]
    assert uncovered(policy, 40, 800) == ["planner", "never"]


@pytest.mark.holds("policy:coverage")
def test_a_row_that_is_overruled_is_not(policy: Snapshot) -> None:
    assert uncovered(policy, 60) == ["small", "ask", "planner", "never"], "an approval overrules the small refund"
    assert uncovered(policy, 9001) == ["small", "ask", "ask-too", "planner"]


@pytest.mark.holds("policy:coverage")
def test_a_protecting_row_that_fails_has_decided(policy: Snapshot) -> None:
    assert uncovered(policy, "many") == ["small", "planner"]


@pytest.mark.holds("policy:coverage")
def test_every_hop_of_a_delegation_counts(policy: Snapshot) -> None:
    assert uncovered(policy, 40, who=principal(chain=("agent:planner",))) == ["ask", "ask-too", "never"]


@pytest.mark.holds("policy:coverage")
def test_the_named_rule_is_always_covered(policy: Snapshot) -> None:
    world, random = World.of(policy.rules), Random(3)
    for _ in range(200):
        asked = world.draw(random)
        rule = policy.decide(asked).rule
        assert rule not in {found.id for found in coverage(policy, [asked]).uncovered}


def test_the_figures(policy: Snapshot) -> None:
    found = coverage(policy, [request(arguments={"amount": 40}), request(arguments={"amount": 800})])
    assert found.as_dict() == {
        "rows": 5,
        "covered": 3,
        "percent": 60.0,
        "uncovered": [{"rule": "planner", "line": 4}, {"rule": "never", "line": 5}],
    }
    assert (found.reaches(60), found.reaches(61), found.reaches(0), found.reaches(100)) == (True, False, True, False)


def test_a_third_is_rounded_down(files: Files) -> None:
    policy = files.load(*(row(id=f"r{number}", tool="orders_get", who=f"user:u{number}") for number in range(3)))
    found = coverage(policy, [request("orders_get", {}, who=principal(f"user:u{number}")) for number in range(2)])
    assert (found.as_dict()["percent"], found.reaches(66), found.reaches(67)) == (66.6, True, False)
