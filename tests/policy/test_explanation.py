"""Every row that fits, for every hop, with what became of it: the decision can be read off the explanation."""

from random import Random

import pytest

from mcp_guard.model.decision import Effect
from mcp_guard.policy.explanation import Explanation, deciding_rows, explained
from mcp_guard.policy.probes import World
from mcp_guard.policy.snapshot import Snapshot
from tests.policy.conftest import Files, principal, request, row

POLICY = (
    row(id="small", who="role:support", tool="payments_refund", when="r.ctx.args.amount <= 100"),
    row(
        id="ask",
        who="role:support",
        tool="risk:high",
        when="r.ctx.args.amount > 100",
        eft="require_approval",
        then="approvers=role:a; expires=2h",
    ),
    row(
        id="ask-too",
        tool="payments_*",
        when="r.ctx.args.amount > 500",
        eft="require_approval",
        then="approvers=role:b; not=requester; expires=1h",
    ),
    row(id="no-euro", tool="payments_refund", when='r.ctx.args.currency == "EUR"', eft="deny"),
    row(id="planner", who="agent:planner", tool="payments_refund"),
    row(id="elsewhere", tenant="globex", tool="payments_refund"),
    row(id="orders", tool="orders_get"),
    "g, user:alice, role:support, acme",
)


@pytest.fixture
def policy(files: Files) -> Snapshot:
    return files.load(*POLICY)


def outcomes(found: Explanation) -> list[list[tuple[str, str, bool]]]:
    return [[(account.row.id, account.outcome, account.decides) for account in hop.accounts] for hop in found.hops]


@pytest.mark.holds("policy:explain")
def test_all_rows_that_fit_with_what_became_of_them(policy: Snapshot) -> None:
    found = explained(policy, request(arguments={"amount": 800, "currency": "USD"}))
    assert outcomes(found) == [
        [
            ("small", "false", False),
            ("ask", "applied", True),
            ("ask-too", "applied", True),
            ("no-euro", "false", False),
        ]
    ]
    assert found.decision.then.as_dict() == {"approvers": ["role:a"], "not": "requester", "expires": 3600}, "merged"
    assert [one.as_dict() for one in found.hops[0].accounts[1].seen] == [{"field": "r.ctx.args.amount", "value": 800}]


@pytest.mark.holds("policy:explain")
def test_a_protecting_condition_that_fails_is_what_decides(policy: Snapshot) -> None:
    found = explained(policy, request(arguments={"amount": "800", "currency": "USD"}))
    assert outcomes(found) == [
        [
            ("small", "failed", False),
            ("ask", "failed", True),
            ("ask-too", "failed", True),
            ("no-euro", "false", False),
        ]
    ]
    assert (found.decision.effect, found.decision.rule) == (Effect.DENY, "ask")


@pytest.mark.holds("policy:explain")
def test_a_near_miss_says_what_it_would_have_seen(policy: Snapshot) -> None:
    found = explained(policy, request(arguments={"amount": 5, "currency": "USD"}, who=principal("user:bob")))
    assert found.hops[0].near[0].as_dict() == {
        "rule": "small",
        "line": 1,
        "effect": "allow",
        "because": "user:bob is not role:support",
        "condition": "r.ctx.args.amount <= 100",
        "values": [{"field": "r.ctx.args.amount", "value": 5}],
    }
    assert {near.miss.row.id for near in found.hops[0].near} == {"small", "planner", "elsewhere", "ask"}


@pytest.mark.holds("policy:explain")
def test_every_hop_is_explained_by_itself(policy: Snapshot) -> None:
    who = principal(chain=("agent:planner", "agent:other"))
    found = explained(policy, request(arguments={"amount": 5, "currency": "USD"}, who=who))
    assert [(hop.who, hop.decision.effect.value, hop.decision.rule) for hop in found.hops] == [
        ("user:alice", "allow", "small"),
        ("agent:planner", "allow", "planner"),
        ("agent:other", "deny", "guard:default"),
    ]
    assert "small" in {near.miss.row.id for near in found.hops[1].near}, "a row that fits one hop can miss another"
    assert not found.decision.allowed


@pytest.mark.holds("policy:explain")
def test_somebody_who_is_nobody_has_no_rows(policy: Snapshot) -> None:
    found = explained(policy, request(arguments={"amount": 5}, who=principal("role:support")))
    assert (found.hops, found.decision.rule) == ([], "guard:default")


@pytest.mark.holds("policy:explain-hides")
def test_what_is_hidden_is_in_no_part_of_it(policy: Snapshot) -> None:
    found = explained(policy, request(arguments={"amount": 4711, "currency": "USD"}), ["/args/amount"])
    assert found.decision.rule == "ask", "it was decided with the value all the same"
    assert "4711" not in str(found.as_dict())
    assert "***" in str(found.as_dict())


@pytest.mark.holds("policy:explain")
def test_the_explanation_and_the_decision_agree(policy: Snapshot) -> None:
    """For questions at the edges of the rows: the strictest hop is the decision, made of the rows marked so."""
    world, random = World.of(policy.rules), Random(7)
    for _ in range(300):
        asked = world.draw(random)
        found = explained(policy, asked)
        assert found.decision == policy.decide(asked)
        if found.hops:
            strictest = {hop.decision.rule: hop.decision for hop in found.hops}
            assert strictest[found.decision.rule].effect is found.decision.effect
        marked = {account.row.id for hop in found.hops for account in hop.accounts if account.decides}
        assert marked == deciding_rows(policy, asked)
        for hop in found.hops:
            first = next((account.row.id for account in hop.accounts if account.decides), "guard:default")
            assert first == hop.decision.rule
