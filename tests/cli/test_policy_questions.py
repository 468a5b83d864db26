"""`mcp-guard policy who-can | what-can | diff`: who may do what, and what another rules file would change."""

from pathlib import Path

import pytest

from tests.cli.conftest import Guard, change
from tests.simulators.process import Program

WIDER = ("100 < r.ctx.args.amount and r.ctx.args.amount <= 5000, require", "200 < r.ctx.args.amount, require")
SMALL = ("r.ctx.args.amount <= 100, allow", "r.ctx.args.amount <= 200, allow")


@pytest.fixture
def rules(desk: Program, tmp_path: Path) -> tuple[str, Path]:
    """The rules in force, and a copy to edit."""
    copy = tmp_path / "new.csv"
    copy.write_bytes((desk.home / "policy" / "policy.csv").read_bytes())
    return str(desk.home / "policy" / "policy.csv"), copy


@pytest.mark.holds("policy:who-can")
def test_who_can(guard: Guard) -> None:
    (access,) = guard("--json", "policy", "who-can", "payments_refund").json
    assert (access["subject"], access["via"], access["effect"]) == ("user:alice", ["agent:local"], "allow")
    assert [rule["rule"] for rule in access["rules"]] == ["refund-small", "refund-large", "refund-limit", "spend-stop"]
    assert "refund-large" in guard("policy", "who-can", "payments_refund").out
    assert guard("--json", "policy", "who-can", "payments_refnd").error["code"] == "unknown_tool"


@pytest.mark.holds("policy:who-can")
def test_what_can(guard: Guard) -> None:
    tools = {access["tool"] for access in guard("--json", "policy", "what-can", "user:alice").json}
    assert tools >= {"orders_get", "payments_refund", "mail_send"}
    assert "customers_delete" not in tools
    nobody = guard("policy", "what-can", "user:mallory")
    assert (nobody.status, nobody.err.startswith("nothing:")) == (0, True)
    assert guard("--json", "policy", "what-can", "user:mallory").json == []


@pytest.mark.holds("policy:diff")
def test_a_looser_policy_is_shown_with_a_call_that_shows_it_and_exits_4(guard: Guard, rules: tuple[str, Path]) -> None:
    old, new = rules
    for before, after in (WIDER, SMALL):
        change(new, before, after)
    ran = guard("policy", "diff", old, str(new))
    assert ran.status == 4
    (line,) = [line for line in ran.out.splitlines() if line.startswith("looser:")]
    assert line.startswith("looser: user:alice in acme via agent:local call payments_refund {")
    assert line.endswith("}: require_approval by refund-large -> allow by refund-small")
    (shown,) = [it for it in guard("--json", "policy", "diff", old, str(new)).json["decisions"] if it["args"]]
    assert 100 < shown["args"]["amount"] <= 200


@pytest.mark.holds("policy:diff")
def test_a_stricter_policy_exits_0_as_does_none(guard: Guard, rules: tuple[str, Path]) -> None:
    old, new = rules
    assert guard("policy", "diff", old, str(new)).out.startswith("no decision changes\n")
    change(new, "r.ctx.args.amount <= 100, allow", "r.ctx.args.amount <= 50, allow")
    ran = guard("policy", "diff", old, str(new))
    assert (ran.status, "stricter: user:alice" in ran.out) == (0, True)


@pytest.mark.holds("policy:diff")
def test_a_file_that_does_not_load_is_not_compared(guard: Guard, rules: tuple[str, Path]) -> None:
    old, new = rules
    change(new, ", deny,", ", denied,")
    ran = guard("policy", "diff", old, str(new))
    assert (ran.status, "error[effect]" in ran.err) == (3, True)
