"""The engine that serves: quick, forgetful, and never of another opinion than the rows."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from mcp_guard.model.decision import RULE_DEFAULT
from mcp_guard.model.principal import Principal
from mcp_guard.policy import compiled
from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.interpreter import Interpreter
from tests.policy.conftest import MONDAY_NOON, TOOLS, Files, principal, request, row

ENVIRONMENT = {"name": "demo"}
ROWS = (
    row(id="everybody", tool="orders_*"),
    row(id="support", who="role:support", tool="payments_refund", when="r.ctx.args.amount <= 100"),
    row(id="listed", act="list", tool="risk:low"),
    row(id="at-work", act="list", tool="mail_send", when='hours(r.ctx.now, "Mon-Fri 09:00-17:00")'),
    row(id="never", who="agent:blocked", act="*", eft="deny"),
    "g, user:alice, role:support, acme",
)


def test_the_first_row_of_the_file_is_named_however_it_is_found(files: Files) -> None:
    """Rows about everybody and everything stand in other places of the index than those about somebody."""
    general, special = row(id="general"), row(id="special", who="user:alice", tool="payments_refund", tenant="acme")
    assert files.load(general, special).decide(request()).rule == "general"
    assert files.load(special, general).decide(request()).rule == "special"


def test_a_wildcard_deny_is_never_skipped(files: Files) -> None:
    snapshot = files.load(
        row(id="a", who="user:alice", via="agent:local", tenant="acme", tool="payments_refund"),
        row(id="d", act="*", eft="deny"),
    )
    assert snapshot.decide(request(arguments={})).rule == "d"


@pytest.mark.parametrize(
    "who", [principal(), principal("user:bob"), principal(chain=("agent:blocked",)), principal("*")]
)
def test_a_list_is_the_same_decisions_at_once(files: Files, who: Principal) -> None:
    snapshot = files.load(*ROWS)
    tools = [*TOOLS, "unknown", *TOOLS]
    expected = [snapshot.decide(request(tool, act="list", who=who)) for tool in tools]
    for engine in (snapshot, Compiled(snapshot.rules), Interpreter(snapshot.rules)):
        for _ in range(2):
            assert engine.decide_all(who, "list", tools, MONDAY_NOON, ENVIRONMENT) == expected


# --- names come from outside ------------------------------------------------------------------------------------------


@pytest.mark.holds("policy:bounded-memory")
def test_invented_names_do_not_fill_the_memory(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MAX_WORDS", 50_000)
    snapshot = files.load(*ROWS)
    good = request(arguments={"amount": 5})
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1_500):
            for stranger in (
                principal(f"user:{number}"),
                principal(client=f"agent:{number}"),
                principal(tenant=f"t{number}"),
                principal(roles=frozenset({f"role:{number}"})),
                principal(chain=(f"agent:{number}",)),
            ):
                snapshot.decide(request(who=stranger))
            snapshot.decide(request(f"orders_{number}"))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_500_000
    assert snapshot.decide(good).rule == "support"


@pytest.mark.holds("policy:bounded-memory")
def test_unknown_tools_are_not_remembered(files: Files) -> None:
    snapshot = files.load(*ROWS)
    snapshot.decide(request("unknown"))
    snapshot.decide(request("orders_unknown"))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(3_000):
            assert snapshot.decide(request(f"unknown_{number}")).rule == RULE_DEFAULT
            assert snapshot.decide(request(f"orders_{number}")).rule == "everybody"
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_threads_share_a_snapshot(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while what is remembered is forgotten under their hands."""
    monkeypatch.setattr(compiled, "MAX_WORDS", 500)
    snapshot = files.load(*ROWS)
    questions = [
        request(tool, {"amount": amount}, who=principal(f"user:{name}"))
        for tool in TOOLS
        for amount in (5, 500)
        for name in ("alice", "bob", "carol")
    ] * 20
    expected = [Interpreter(snapshot.rules).decide(question) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(snapshot.decide, questions)) == expected


def test_a_reload_makes_another_snapshot(files: Files) -> None:
    """Whoever still holds the old one gets its answers, not half of each."""
    old = files.load(row(id="old"))
    new = files.load(row(id="new", eft="deny"))
    assert (old.decide(request()).rule, new.decide(request()).rule) == ("old", "new")
    assert old.version != new.version


def test_no_role_is_decided_by_name(files: Files) -> None:
    """Users and roles are names of one kind to Casbin; here a request by `role:support` is nobody's."""
    snapshot = files.load(*ROWS)
    for who in (principal("role:support"), principal(client="role:x"), principal(chain=("role:support",))):
        assert snapshot.decide(request(arguments={"amount": 5}, who=who)).rule == RULE_DEFAULT
