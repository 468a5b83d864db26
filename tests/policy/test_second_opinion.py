"""Stock Casbin's own answer, beside ours, and never an excuse to run or tell anything."""

from random import Random

import pytest

from mcp_guard.policy import second_opinion
from mcp_guard.policy.explanation import explained
from mcp_guard.policy.probes import World
from mcp_guard.policy.second_opinion import APPROVAL, FAILED, NOBODY, Opinion
from tests.policy.conftest import Files, principal, request, row

ROWS = (
    row(id="small", tool="payments_refund", when="r.ctx.args.amount <= 100"),
    row(
        id="ask",
        tool="payments_refund",
        when="r.ctx.args.amount > 100",
        eft="require_approval",
        then="approvers=role:a",
    ),
    row(id="small-too", who="role:claimed", tool="orders_get"),
    row(id="planner", who="agent:planner", tool="orders_get"),
)


def ask(files: Files, **asked: object) -> Opinion:
    policy = files.load(*ROWS)
    question = request(**asked)  # type: ignore[arg-type]  # test convenience
    text = files.rules.read_text(encoding="utf-8")
    return second_opinion.ask(text, policy.rules, explained(policy, question))


@pytest.mark.holds("policy:explain-stock")
def test_where_both_mean_the_same(files: Files) -> None:
    assert ask(files, arguments={"amount": 5}) == Opinion(True, True, ())
    assert ask(files, tool="mail_send", arguments={}) == Opinion(False, True, ())
    claimed = principal(roles=frozenset({"role:claimed"}))
    assert ask(files, tool="orders_get", arguments={}, who=claimed) == Opinion(True, True, ())
    over = principal(roles=frozenset({"role:claimed"}), chain=("agent:planner",))
    assert ask(files, tool="orders_get", arguments={}, who=over) == Opinion(True, True, ())
    over = principal(roles=frozenset({"role:claimed"}), chain=("agent:other",))
    assert ask(files, tool="orders_get", arguments={}, who=over) == Opinion(False, True, ())


@pytest.mark.holds("policy:explain-stock")
def test_where_it_cannot_agree_it_says_why(files: Files) -> None:
    assert ask(files, arguments={"amount": 500}) == Opinion(False, True, (APPROVAL,))
    failing = ask(files, arguments={"amount": "canary"})
    assert failing == Opinion(None, False, (FAILED,))
    assert failing.as_dict()["effect"] is None
    assert "canary" not in str(failing)
    nobody = ask(files, tool="orders_get", arguments={}, who=principal("role:claimed"))
    assert nobody == Opinion(True, False, (NOBODY,))


@pytest.mark.holds("policy:explain-stock")
def test_without_a_note_they_agree(files: Files) -> None:
    policy = files.load(*ROWS)
    text = files.rules.read_text(encoding="utf-8")
    world, random = World.of(policy.rules), Random(11)
    asked = [world.draw(random) for _ in range(60)]
    opinions = [second_opinion.ask(text, policy.rules, explained(policy, question)) for question in asked]
    assert all(opinion.agrees or opinion.notes for opinion in opinions)
    assert any(not opinion.notes and opinion.allows for opinion in opinions)
