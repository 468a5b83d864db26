"""What the rows mean, one rule at a time."""

from collections.abc import Mapping

import pytest

from mcp_guard.model.decision import RULE_DEFAULT, Act, Effect
from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.interpreter import Interpreter
from mcp_guard.policy.verdict import FAILED, NO_RULE
from tests.policy.conftest import Files, principal, request, row

SUPPORT = "g, user:alice, role:support, acme"


def test_nothing_is_allowed_by_itself(files: Files) -> None:
    decision = files.load(row(who="user:bob")).decide(request())
    assert (decision.effect, decision.rule, decision.reason) == (Effect.DENY, RULE_DEFAULT, NO_RULE)


@pytest.mark.parametrize(
    ("columns", "applies"),
    [
        ({}, True),
        ({"who": "user:alice"}, True),
        ({"who": "role:support"}, True),
        ({"who": "role:desk"}, True),
        ({"who": "user:bob"}, False),
        ({"who": "role:other"}, False),
        ({"via": "agent:local"}, True),
        ({"via": "role:trusted"}, True),
        ({"via": "agent:other"}, False),
        ({"via": "role:support"}, False),
        ({"tenant": "acme"}, True),
        ({"tenant": "globex"}, False),
        ({"act": "*"}, True),
        ({"act": "list"}, False),
        ({"tool": "payments_refund"}, True),
        ({"tool": "risk:high"}, True),
        ({"tool": "toolset:payments"}, True),
        ({"tool": "payments_*"}, True),
        ({"tool": "p*"}, True),
        ({"tool": "risk:low"}, False),
        ({"tool": "orders_*"}, False),
        ({"when": "False"}, False),
        ({"when": "r.ctx.args.amount > 5"}, True),
        ({"when": "r.ctx.args.amount > 50"}, False),
    ],
)
def test_a_row_applies_where_all_its_columns_fit(files: Files, columns: Mapping[str, str], applies: bool) -> None:
    links = (SUPPORT, "g, role:support, role:desk, acme", "g, agent:local, role:trusted, acme")
    decision = files.load(row(id="it", **columns), *links).decide(request(arguments={"amount": 10}))
    assert (decision.rule == "it") is applies


def test_a_role_of_another_tenant_does_not_count(files: Files) -> None:
    snapshot = files.load(row(who="role:support"), SUPPORT)
    assert snapshot.decide(request()).allowed
    assert not snapshot.decide(request(who=principal(tenant="globex"))).allowed


@pytest.mark.holds("policy:four-effects")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_deny_beats_approval_beats_allow(files: Files, order: tuple[int, ...]) -> None:
    rows = [
        row(id="a"),
        row(id="q", eft="require_approval", then="approvers=role:x", when="r.ctx.args.amount > 10"),
        row(id="d", eft="deny", when="r.ctx.args.amount > 100"),
    ]
    snapshot = files.load(*(rows[index] for index in order))
    for amount, rule in [(5, "a"), (50, "q"), (500, "d")]:
        assert snapshot.decide(request(arguments={"amount": amount})).rule == rule


@pytest.mark.holds("policy:errors-deny")
@pytest.mark.parametrize(
    "arguments", [{}, {"amount": "9"}, {"amount": None}, {"amount": True}, {"amount": float("nan")}, None]
)
def test_a_rule_that_cannot_be_evaluated_denies_unless_it_only_allows(
    files: Files, arguments: Mapping[str, object] | None
) -> None:
    """Sending odd arguments never gets past a rule."""
    condition = "r.ctx.args.amount > 100"
    deny = files.load(row(id="a"), row(id="d", eft="deny", when=condition)).decide(request(arguments=arguments))
    assert (deny.effect, deny.rule, deny.reason) == (Effect.DENY, "d", FAILED)
    ask = files.load(row(id="a"), row(id="q", eft="require_approval", then="approvers=role:x", when=condition))
    assert ask.decide(request(arguments=arguments)).effect is Effect.DENY
    allow = files.load(row(id="a", when=condition)).decide(request(arguments=arguments))
    assert (allow.effect, allow.rule) == (Effect.DENY, RULE_DEFAULT)


@pytest.mark.holds("policy:errors-deny")
def test_the_reason_never_holds_a_value(files: Files) -> None:
    snapshot = files.load(row(id="d", eft="deny", when="r.ctx.args.amount > 100"))
    assert "s3cret" not in str(snapshot.decide(request(arguments={"amount": "s3cret"})))


@pytest.mark.holds("policy:strictest-hop")
def test_every_hop_of_a_delegation_is_decided(files: Files) -> None:
    snapshot = files.load(
        row(id="alice", who="user:alice"),
        row(id="planner", who="agent:planner"),
        row(id="asks", who="agent:careful", eft="require_approval", then="approvers=role:x"),
        row(id="blocked", who="agent:blocked", eft="deny"),
    )
    for chain, rule in [
        ((), "alice"),
        (("agent:planner",), "alice"),
        (("agent:careful",), "asks"),
        (("agent:planner", "agent:careful"), "asks"),
        (("agent:careful", "agent:blocked"), "blocked"),
        (("agent:stranger",), RULE_DEFAULT),
    ]:
        assert snapshot.decide(request(who=principal(chain=chain))).rule == rule


@pytest.mark.holds("policy:claimed-roles")
def test_claimed_roles_count_for_the_subject_and_nobody_else(files: Files) -> None:
    snapshot = files.load(row(id="s", who="role:support"), row(id="t", via="role:trusted", tool="orders_get"))
    claimed = frozenset({"role:support", "role:trusted"})
    assert snapshot.decide(request(who=principal(roles=claimed))).rule == "s"
    assert not snapshot.decide(request(who=principal(roles=claimed, chain=("agent:x",)))).allowed
    without = files.load(row(id="t", via="role:trusted"))
    assert not without.decide(request(who=principal(roles=claimed))).allowed


def test_conditions_see_every_role_of_the_subject(files: Files) -> None:
    """A deny that names a role works whether the role was granted here or claimed."""
    snapshot = files.load(
        row(id="a"),
        row(id="d", eft="deny", when='"role:contractor" in r.ctx.subject.roles'),
        "g, user:eve, role:temp, acme",
        "g, role:temp, role:contractor, acme",
    )
    assert snapshot.decide(request()).rule == "a"
    assert snapshot.decide(request(who=principal("user:eve"))).rule == "d"
    assert snapshot.decide(request(who=principal(roles=frozenset({"role:contractor"})))).rule == "d"
    assert snapshot.decide(request(who=principal(roles=frozenset({"role:temp"})))).rule == "d"


@pytest.mark.holds("policy:claimed-roles")
@pytest.mark.parametrize(
    ("subject", "client", "chain"),
    [
        ("role:support", "agent:local", ()),
        ("*", "agent:local", ()),
        ("alice", "agent:local", ()),
        ("", "agent:local", ()),
        ("user:alice", "role:trusted", ()),
        ("user:alice", "*", ()),
        ("user:alice", "agent:local", ("role:support",)),
    ],
)
def test_a_role_cannot_act(files: Files, subject: str, client: str, chain: tuple[str, ...]) -> None:
    """Somebody called like a role would be its member by name alone."""
    snapshot = files.load(row(who="role:support"), row(id="all"), row(id="v", via="role:trusted"))
    assert snapshot.decide(request(who=principal(subject, client, chain=chain))).rule == RULE_DEFAULT


@pytest.mark.parametrize(("act", "expected"), [("audit", "all"), ("call", None)])
def test_reading_the_log_says_how_much(files: Files, act: Act, expected: str | None) -> None:
    snapshot = files.load(
        row(id="a", act=act, tool="audit:records"), row(id="b", act="audit", tool="audit:records", then="rows=all")
    )
    assert snapshot.decide(request("audit:records", act=act)).then.rows == expected


def test_now_is_an_input(files: Files) -> None:
    from datetime import UTC, datetime

    snapshot = files.load(row(id="open", when='hours(r.ctx.now, "Mon-Fri 09:00-17:00")'))
    assert snapshot.decide(request(now=datetime(2026, 1, 5, 12, tzinfo=UTC))).allowed
    assert not snapshot.decide(request(now=datetime(2026, 1, 4, 12, tzinfo=UTC))).allowed


@pytest.mark.holds("seen:unknown-denies")
@pytest.mark.parametrize(
    ("eft", "then", "expected"),
    [
        ("deny", "-", {None: "deny r", frozenset(): "allow ok", frozenset({"pii"}): "deny r"}),
        ("allow", "-", {None: "allow ok", frozenset(): "allow ok", frozenset({"pii"}): "allow r"}),
        (
            "require_approval",
            "approvers=role:a",
            {None: "deny r", frozenset(): "allow ok", frozenset({"pii"}): "require_approval r"},
        ),
    ],
)
def test_what_nobody_looked_up_helps_nobody(
    eft: str, then: str, expected: dict[frozenset[str] | None, str], files: Files
) -> None:
    rules = files.load(row(id="r", when='"pii" in r.ctx.seen', eft=eft, then=then), row(id="ok")).rules
    for engine in (Interpreter(rules), Compiled(rules)):
        assert engine.uses_seen
        for seen, decided in expected.items():
            decision = engine.decide(request(arguments={}, seen=seen))
            assert f"{decision.effect.value} {decision.rule}" == decided, seen


def test_a_policy_that_never_asks_need_not_look(files: Files) -> None:
    rules = files.load(row(when='"seen" in r.ctx.args')).rules
    assert not Interpreter(rules).uses_seen
    assert not Compiled(rules).uses_seen
