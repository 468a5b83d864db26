"""Who can use what: the rows that count, before there is a call."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from mcp_guard.model.decision import Effect
from mcp_guard.policy.snapshot import Rules
from mcp_guard.policy.who import ANY_OTHER, Access, Profile, what_can, who_can
from tests.policy.conftest import Files, row

ENVIRONMENT = {"name": "demo"}


@dataclass(frozen=True)
class Known:
    tenant: str | None = "acme"
    scopes: frozenset[str] = frozenset()
    attributes: Mapping[str, object] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


PEOPLE: Mapping[str, Profile] = {
    "user:alice": Known(scopes=frozenset({"pay"})),
    "user:bob": Known(attributes={"level": 3}),
    "user:nobody": Known(),
}
LINKS = ("g, user:alice, role:support, acme", "g, user:bob, role:finance, acme", "g, agent:local, role:trusted, acme")


def rules(files: Files, *rows: str) -> Rules:
    seen = row(id="seen", act="list", tool="payments_refund")
    return files.read("\n".join([seen, *rows, *LINKS]) + "\n")


def who(files: Files, *rows: str) -> list[Access]:
    return who_can(rules(files, *rows), PEOPLE, "payments_refund", environment=ENVIRONMENT)


def shown(found: list[Access]) -> list[tuple[str, str, tuple[str, ...], list[tuple[str, str]]]]:
    return [
        (access.subject, access.effect.value, access.via, [(clause.rule, clause.when) for clause in access.clauses])
        for access in found
    ]


def test_roles_open_conditions_and_agents(files: Files) -> None:
    found = who(
        files,
        row(id="small", who="role:support", tool="payments_*", when="r.ctx.args.amount <= 100"),
        row(id="large", who="role:support", via="role:trusted", tool="payments_*", when="r.ctx.args.amount > 100",
            eft="require_approval", then="approvers=role:finance"),
    )  # fmt: skip
    small, large = ("small", "r.ctx.args.amount <= 100"), ("large", "r.ctx.args.amount > 100")
    assert shown(found) == [
        ("user:alice", "allow", ("agent:local",), [small, large]),
        ("user:alice", "allow", (ANY_OTHER,), [small]),
    ]


def test_what_is_known_beforehand_is_decided(files: Files) -> None:
    found = who(
        files,
        row(id="scoped", who="role:support", when='"pay" in r.ctx.scopes'),
        row(id="unscoped", who="role:support", when='"other" in r.ctx.scopes'),
        row(id="level", who="role:finance", when="r.ctx.subject.attributes.level > 2"),
        row(id="live", who="user:nobody", when='r.ctx.env.name == "live"'),
    )
    assert shown(found) == [
        ("user:alice", "allow", ("*",), [("scoped", "True")]),
        ("user:bob", "allow", ("*",), [("level", "True")]),
    ]


def test_certain_denials_hide_and_open_ones_are_said(files: Files) -> None:
    found = who(
        files,
        row(id="all"),
        row(id="limit", eft="deny", when="r.ctx.args.amount > 5"),
        row(id="no-bob", who="role:finance", eft="deny"),
        row(id="failing", who="user:nobody", eft="deny", when="r.ctx.subject.attributes.level > 9"),
    )
    assert shown(found) == [("user:alice", "allow", ("*",), [("all", "True"), ("limit", "r.ctx.args.amount > 5")])]


def test_a_certain_approval_is_the_best_there_is(files: Files) -> None:
    found = who(
        files, row(id="all", who="user:alice"), row(id="ask", eft="require_approval", then="approvers=role:finance")
    )
    assert {access.effect for access in found} == {Effect.REQUIRE_APPROVAL}


def test_a_hidden_tool_cannot_be_called(files: Files) -> None:
    loaded = files.read(row(id="all") + "\n")
    assert who_can(loaded, PEOPLE, "payments_refund", environment=ENVIRONMENT) == []


def test_missing_scopes_are_named(files: Files) -> None:
    found = who_can(
        rules(files, row(id="all")), PEOPLE, "payments_refund", scopes=frozenset({"pay"}), environment=ENVIRONMENT
    )
    missing = {access.subject: access.missing_scopes for access in found}
    assert missing == {"user:alice": (), "user:bob": ("pay",), "user:nobody": ("pay",)}
    assert found[1].as_dict()["missing_scopes"] == ["pay"]


def test_what_somebody_can(files: Files) -> None:
    loaded = rules(files, row(id="support", who="role:support"), row(id="l", act="list", tool="orders_*"))
    tools = {"payments_refund": frozenset[str](), "orders_get": frozenset({"x"}), "mail_send": frozenset[str]()}
    found = what_can(loaded, PEOPLE, "user:alice", tools=tools, environment=ENVIRONMENT)
    assert [(access.tool, access.missing_scopes) for access in found] == [
        ("payments_refund", ()),
        ("orders_get", ("x",)),
    ]
    assert what_can(loaded, PEOPLE, "user:bob", tools=tools, environment=ENVIRONMENT) == []


@pytest.mark.holds("policy:who-can")
def test_it_says_no_less_than_the_engine_grants(files: Files) -> None:
    """Whoever is allowed some call is listed; whoever is not listed is denied it."""
    from mcp_guard.policy.compiled import Compiled
    from tests.policy.conftest import principal, request

    loaded = rules(
        files,
        row(id="small", who="role:support", when="r.ctx.args.amount <= 100"),
        row(id="bob", who="role:finance", via="role:trusted", when="r.ctx.subject.attributes.level > 2"),
        row(id="blocked", via="agent:blocked", eft="deny"),
    )
    engine = Compiled(loaded)
    listed = {
        (access.subject, agent)
        for access in who_can(loaded, PEOPLE, "payments_refund", environment=ENVIRONMENT)
        for agent in (("agent:local", "agent:blocked", ANY_OTHER) if access.via == ("*",) else access.via)
    }
    granted = {
        (subject, agent)
        for subject, profile in PEOPLE.items()
        for agent in ("agent:local", "agent:blocked", ANY_OTHER)
        for amount in (50, 500)
        if engine.decide(
            request(
                arguments={"amount": amount},
                who=principal(subject, agent, scopes=profile.scopes, attributes=profile.attributes),
            )
        ).allowed
    }
    assert listed == granted == {("user:alice", "agent:local"), ("user:alice", ANY_OTHER), ("user:bob", "agent:local")}
